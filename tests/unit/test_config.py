"""The configuration is checked as a whole, before anything is created; every problem is named with its key and a fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import StackConfig, parse
from components.errors import ConfigError

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]


def values(stack: str, **more: Any) -> dict[str, Any]:
    """The keys of an example environment as Pulumi hands them on: texts, structured ones as JSON."""
    given = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))["config"]
    own = {key.removeprefix("strongroom:"): value for key, value in given.items() if key.startswith("strongroom:")}
    defaults = {key: entry["default"] for key, entry in SCHEMA.items() if "default" in entry}
    found = {**defaults, **own, "databasePassword": "from the config", **more}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_the_example_environments_are_complete_and_consistent(stack: str) -> None:
    config = parse(values(stack))
    assert config.platform("password")["database"]["ssl_mode"] == "verify-full"
    assert config.workloads[0].name == "payment-api"


@pytest.mark.parametrize("stack", ["dev", "staging", "production"])
def test_no_example_holds_a_secret(stack: str) -> None:
    text = (ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
    assert "databasePassword:" not in text
    assert "PRIVATE KEY" not in text


def test_the_schema_and_the_loader_know_the_same_keys() -> None:
    loaded = {field.alias for field in StackConfig.model_fields.values()}
    assert loaded | {"databasePassword"} == set(SCHEMA)


SECRETS = [{"name": "db", "databaseRole": "app-readwrite"}]


def one_workload(*secrets: dict[str, Any], name: str = "a", **more: Any) -> dict[str, Any]:
    return {"workloads": [{"name": name, "namespace": "production", "secrets": secrets or SECRETS, **more}]}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"databasePort": "many"}, "databasePort: input should be a valid integer.*got 'many'"),
        ({"databsePort": 5432}, "databsePort: unknown key; remove it or correct its spelling"),
        ({"vaultAddress": "http://vault"}, "vaultAddress: .*https://"),
        ({"awsAccountId": "12"}, "awsAccountId, awsRegion: account_id: '12'.*twelve digits"),
        ({"oidcProvider": "steal"}, "oidcProvider: input should be 'create' or 'adopt', got 'steal'"),
        ({"databaseSslMode": "disable"}, "allowUnencryptedDatabase"),
        ({"vaultTokenTtl": "soon"}, "vaultTokenTtl: 'soon' is not a duration"),
        ({"databaseRoles": "[]"}, "databaseRoles: roles: "),
        (
            {"workloads": [{"name": "a", "namespace": "production", "secret": []}]},
            r"workloads\[0\].secret: unknown key",
        ),
        ({"workloads": [{"name": "a", "namespace": "production"}]}, r"workloads\[0\].secrets: missing; add it"),
        ({"workloads": [{"name": "a", "namespace": "nope", "secrets": SECRETS}]}, r"workloads\[0\]: namespace: 'nope'"),
        (
            {
                "workloads": [
                    {"name": "a", "namespace": "production", "secrets": [{**SECRETS[0], "refreshInterval": "59m"}]}
                ]
            },
            r"workloads\[0\]: a: db: refreshInterval '59m' and rolloutTime '10m'.*defaultTtl '1h'",
        ),
        (
            {"databaseRoles": [{"name": "app-readwrite", "defaultTtl": "2h", "maxTtl": "1h"}]},
            "defaultTtl '2h' is longer than maxTtl '1h'",
        ),
        (
            {"workloads": [{"name": name, "namespace": "production", "secrets": SECRETS} for name in ("a", "b")]},
            r"workloads\[1\]: production/b: db: name: 'production/db' is made by production/a: db; .*give it another",
        ),
        ({"vaultTokenTtl": "30m"}, "vaultTokenTtl '30m' is shorter"),
        ({"vaultTokenTtl": "48h"}, r"workloads\[0\]: vaultTokenTtl: '48h' is longer than 24h"),
        ({"vaultAudience": ""}, r"workloads\[0\]: audience: it is empty"),
        ({"operatorReplicas": 0}, "operatorReplicas: replicas: 0 runs nothing"),
        (
            {"injectorReplicas": 0, **one_workload({**SECRETS[0], "delivery": "agent"})},
            "injectorReplicas: replicas: .* has 0; expected at least 1",
        ),
        (
            {"sealingKeyPeriod": "soon", **one_workload({"name": "s", "delivery": "sealed", "generate": ["A"]})},
            "sealingKeyPeriod: 'soon' is not a duration",
        ),
        ({"rolePath": "workloads"}, r"workloads\[0\]: path: 'workloads' must start and end with '/'"),
        ({"rolePrefix": "x" * 60}, "role_name: 'x+production-payment-api' must have 1 to 64 characters"),
        ({"permissionsBoundary": "boundary"}, "permissionsBoundary: 'boundary' is no policy's ARN"),
        (one_workload(formerName="a"), r"workloads\[0\].formerName: 'a' is still a workload"),
        (one_workload(image="two words"), "image: 'two words' is no image's name"),
        (one_workload({**SECRETS[0], "delivery": "agent", "fileMode": "999"}), "a: db: mode: '999' is not a file mode"),
        (one_workload({"name": "p", "awsSecret": "production/*"}), "'production/\\*' holds a wildcard"),
        (one_workload({"name": "c", "kvPath": "c", "generate": ["A B"]}), "a: c: generate: 'A B' cannot be a key"),
        (one_workload({"name": "c", "kvPath": "c", "generate": ["A", "A"]}), "generate: a key is given twice"),
        (one_workload({"name": "s", "delivery": "sops", "sopsFile": "no.yaml"}), "sopsFile: 'no.yaml' is not there"),
        (
            one_workload({"name": "s", "delivery": "sealed", "sealedFile": "no.yaml"}),
            "sealedFile: 'no.yaml' is not there",
        ),
        ({"namespaces": []}, "namespaces: none, so no workload has a place"),
        ({"namespaces": ["production", "production"]}, "namespaces: 'production' is given twice"),
        ({"namespaces": ["production", "kube-system"]}, "namespaces: 'kube-system' is the cluster's own"),
        (
            {"namespaces": ["production", "vault"], **one_workload({**SECRETS[0], "delivery": "agent"})},
            "namespaces: vault must start without the webhook",
        ),
        ({"namespaces": []}, "is not one of the platform's: it has none; add it there"),
        ({"kvMount": "sys"}, "kvMount: 'sys' is Vault's own; mount the engine at another path"),
        ({"databaseMount": "identity/db"}, "databaseMount: 'identity/db' is Vault's own"),
        ({"kvMount": "database"}, "kvMount: 'database' and databaseMount 'database' overlap"),
        ({"kvMount": "database/kv"}, "kvMount: 'database/kv' and databaseMount 'database' overlap"),
        ({"databaseRoles": []}, "is no role of the database engine; there are: none"),
        ({"databasePassword": ""}, "databasePassword: missing; set it with `pulumi config set --secret"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(values("production", **more))


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values("production", vaultAddress="http://vault", vaultTokenTtl="soon", kvMount="a/*"))
    assert all(key in str(caught.value) for key in ("vaultAddress", "vaultTokenTtl", "kvMount"))


@pytest.mark.parametrize("name", ["", "Upper", "prüfung", "a" * 254])
def test_a_wrong_name_is_told_once(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values("production", **one_workload(name=name)))
    assert str(caught.value).startswith(f"configuration: workloads[0]: name: {name!r} has the wrong form")
    assert "\n" not in str(caught.value)


def test_a_secret_s_value_is_never_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values("production", vaultTokenTtl="soon", databasePassword="do not tell"))
    assert "do not tell" not in str(caught.value)
