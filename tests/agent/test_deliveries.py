"""Each secret of a workload names its delivery; what a delivery cannot do is refused before anything is created."""

from __future__ import annotations

from typing import Any

import pytest

from components.platform import SecretPlatform
from components.sops.decrypt import SopsError
from components.workload import Workload
from components.workload_pod import FILES_GROUP
from components.workload_secrets import Delivery, check_secrets, delivery_of, described, kv_path_of, source_of

ROLES: Any = {"app": {"name": "app", "default_ttl": "1h", "max_ttl": "24h"}}


def check(*secrets: Any, tokens_live: str = "1h") -> None:
    check_secrets("api", "production", secrets, namespaces=["production"], roles=ROLES, token_ttl=tokens_live)


@pytest.mark.parametrize(
    ("secret", "delivery", "source"),
    [
        ({"name": "a", "database_role": "app"}, Delivery.EXTERNAL_SECRET, "database_role"),
        ({"name": "a", "kv_path": "production/a"}, Delivery.EXTERNAL_SECRET, "kv_path"),
        ({"name": "a", "aws_secret": "production/a"}, Delivery.EXTERNAL_SECRET, "aws_secret"),
        ({"name": "a", "delivery": "agent", "database_role": "app", "file_mode": "0440"}, Delivery.AGENT, "database_role"),
        ({"name": "a", "delivery": "agent", "kv_path": "production/a"}, Delivery.AGENT, "kv_path"),
        ({"name": "a", "delivery": "sealed", "generate": ["K"]}, Delivery.SEALED, "generate"),
        ({"name": "a", "delivery": "sealed", "sealed_file": "a.yaml"}, Delivery.SEALED, "sealed_file"),
        ({"name": "a", "delivery": "sops", "sops_file": "a.yaml"}, Delivery.SOPS, "sops_file"),
        ({"name": "a", "delivery": "sops", "sops_file": "a.yaml", "kv_path": "x/y"}, Delivery.SOPS, "sops_file"),
    ],
)  # fmt: skip
def test_every_delivery_takes_its_sources(secret: Any, delivery: Delivery, source: str) -> None:
    check(secret)
    assert delivery_of(secret) is delivery
    assert source_of(secret) == source
    assert described(secret, database="database", kv="secret")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ({"name": "a", "delivery": "carrier-pigeon", "kv_path": "x"}, "delivery: 'carrier-pigeon' is unknown"),
        ({"name": "a", "delivery": "agent", "aws_secret": "x"}, "'agent' cannot take aws_secret; expected external-secret"),
        ({"name": "a", "delivery": "sealed", "kv_path": "x/y"}, "'sealed' cannot take kv_path; expected external-secret or agent"),
        ({"name": "a", "delivery": "sops"}, "has no source; expected exactly one of sops_file"),
        ({"name": "a", "sops_file": "x.yaml"}, "'external-secret' cannot take sops_file; expected sops"),
        ({"name": "a", "delivery": "sealed"}, "has no source; expected exactly one of sealed_file, generate"),
        ({"name": "a", "kv_path": "x/y", "aws_secret": "z"}, "has kv_path, aws_secret"),
        ({"name": "a", "kv_path": "x/y", "template": "{{ 1 }}"}, "template: only the delivery 'agent' has files"),
        ({"name": "a", "delivery": "sealed", "generate": ["K"], "refresh_interval": "1m"}, "refresh_interval: a sealed secret"),
        ({"name": "a", "delivery": "agent", "database_role": "app", "refresh_interval": "1m"}, "the agent renews a lease"),
    ],
)  # fmt: skip
def test_what_a_delivery_cannot_do_is_refused_with_what_it_can(secret: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(secret)


def test_an_agents_token_must_outlive_its_leases_too() -> None:
    with pytest.raises(ValueError, match="token_ttl"):
        check({"name": "a", "delivery": "agent", "database_role": "app"}, tokens_live="30m")


def test_a_sops_file_is_kept_below_its_workload() -> None:
    assert kv_path_of({"name": "smtp", "sops_file": "x.yaml"}, "production", "mailer") == "production/mailer/smtp"
    assert kv_path_of({"name": "a", "aws_secret": "x"}, "production", "mailer") is None


PLATFORM: Any = {
    "account": {"account_id": "111122223333", "region": "eu-central-1"},
    "cluster": {"issuer": "https://issuer.example.com/id"},
    "vault": {"address": "https://vault.internal:8200"},
    "namespaces": ["production"],
    "injector": {},
    "sealed_secrets": {},
    "database": {
        "connection_name": "myapp",
        "host": "postgres.internal",
        "database": "myapp",
        "username": "vault_admin",
        "password": "first",
        "roles": [ROLES["app"]],
    },
}
AGENT_KV: Any = {"name": "config", "delivery": "agent", "kv_path": "production/api"}


def workload(*secrets: Any) -> Any:
    def program() -> None:
        platform = SecretPlatform("platform", PLATFORM)
        args: Any = {"platform": platform, "workload_name": "api", "namespace": "production", "secrets": secrets}
        Workload("api", args)

    return program


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ({**AGENT_KV, "file_mode": "999"}, "api: config: mode: '999' is not a file mode"),
        ({**AGENT_KV, "template": "nothing"}, "config: template: that of 'config' reads nothing"),
        ({**AGENT_KV, "name": "c" * 42}, "name: 'c+' becomes a file name"),
        ({**AGENT_KV, "name": "file-config"}, "name: 'file-config' becomes a file name"),
        ({"name": "a", "delivery": "sealed", "sealed_file": "absent.yaml"}, r"file: .*absent\.yaml cannot be read"),
        ({"name": "a", "delivery": "sealed", "generate": ["K"]}, "certificate: 'api-a' needs the sealing certificate"),
        ({"name": "a", "delivery": "sops", "sops_file": "absent.yaml"}, r"absent\.yaml: no such file"),
    ],
)
def test_what_a_delivery_cannot_do_with_its_options_is_refused_before_a_pod_asks(
    registered: Any, secret: Any, words: str
) -> None:
    """Also where the workload has no image, so that the kit makes no pod for it."""
    with pytest.raises((ValueError, SopsError), match=words):
        registered(workload(secret))


def test_an_agent_reads_as_often_as_the_most_hasty_secret_wants(registered: Any) -> None:
    made: list[Workload] = []

    def program() -> None:
        secrets = [{**AGENT_KV, "name": name, "refresh_interval": often} for name, often in (("a", "1h"), ("b", "90s"))]
        args: Any = {
            "platform": SecretPlatform("platform", PLATFORM),
            "workload_name": "api",
            "namespace": "production",
            "secrets": secrets,
        }
        made.append(Workload("api", args))

    registered(program)
    injection = made[0].injection()
    assert injection is not None
    assert injection.static_interval == "1m30s"


def test_the_agents_files_belong_to_a_group_that_the_pods_containers_have(registered: Any) -> None:
    """Or a file of mode 0440, written by the agent's user, could not be read by the application's."""

    def program() -> None:
        args: Any = {
            "platform": SecretPlatform("platform", PLATFORM),
            "workload_name": "api",
            "namespace": "production",
            "secrets": [{**AGENT_KV, "file_mode": "0440"}],
            "image": "registry.example.com/api:1",
        }
        Workload("api", args)

    pod = registered(program)["api-deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"fsGroup": FILES_GROUP}
