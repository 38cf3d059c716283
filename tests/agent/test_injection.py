"""What the typed builder says to the injector, and what it refuses to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.vault.agent_injection import PREFIX, Injection, InjectionError, inject
from sandbox.agent import AnnotationError, agent_config

SEED = {
    "agent-inject": "true",
    "role": "payment-api",
    "agent-inject-secret-db-creds": "database/creds/app-readwrite",
    "agent-inject-template-db-creds": """{{- with secret "database/creds/app-readwrite" -}}
export DB_USERNAME="{{ .Data.username }}"
export DB_PASSWORD="{{ .Data.password }}"
export DATABASE_URL="postgresql://{{ .Data.username }}:{{ .Data.password }}@postgres.internal:5432/myapp"
{{- end }}
""",
    "agent-inject-secret-app-config": "secret/data/production/payment-api",
    "agent-inject-template-app-config": """{{- with secret "secret/data/production/payment-api" -}}
{{ .Data.data | toJSON }}
{{- end }}
""",
}
COMPLETE = {"agent-inject": "true", "role": "r", "agent-inject-secret-a": "x"}


def example(**options: Any) -> Injection:
    return (
        inject("payment-api", **options)
        .database("db-creds", role="app-readwrite", host="postgres.internal", database="myapp")
        .kv("app-config", path="production/payment-api")
    )


def configured(annotations: dict[str, str]) -> Any:
    place = Path("/nowhere")
    return agent_config(
        annotations, folder=place, address="https://127.0.0.1:8200", ca_file="ca.pem", token_file=place / "token"
    )


def test_the_seeds_annotations_come_out_word_for_word() -> None:
    found = example().annotations()
    assert {key: found[PREFIX + key] for key in SEED} == SEED


def test_every_option_reaches_the_agents_configuration() -> None:
    injection = inject(
        "r",
        auth_path="auth/cluster-2",
        static_interval="10s",
        renewal_threshold=0.5,
        max_backoff="20s",
        revoke_on_shutdown=False,
    ).kv("c", path="a/b", mount="kv", mode="0400", file="app/config.json", command="kill -HUP 1", template="{{ 1 }}")
    agent = configured(injection.annotations())
    (template,) = agent.config["template"]
    assert template["perms"] == "0400"
    assert template["destination"] == "/nowhere/vault/secrets/app/config.json"
    assert template["exec"] == {"command": ["/bin/sh", "-c", "kill -HUP 1"]}
    assert template["contents"] == "{{ 1 }}"
    assert agent.config["template_config"]["static_secret_render_interval"] == "10s"
    assert agent.config["template_config"]["lease_renewal_threshold"] == 0.5
    assert agent.config["auto_auth"]["method"]["mount_path"] == "auth/cluster-2"
    assert agent.config["auto_auth"]["method"]["max_backoff"] == "20s"
    assert not agent.revokes


def test_an_agent_that_signals_the_application_sees_its_processes_and_is_its_user() -> None:
    def asked(**options: bool) -> set[str]:
        found = inject("r", **options).kv("c", path="a/b").annotations()
        return {key.removeprefix(PREFIX) for key in found if "same-user" in key or "share-process" in key}

    assert asked() == set()
    assert asked(same_user=True) == {"agent-run-as-same-user"}
    assert asked(share_processes=True) == {"agent-run-as-same-user", "agent-share-process-namespace"}


def test_durations_are_written_as_go_reads_them() -> None:
    found = inject("r", static_interval="1d", max_backoff="90s").kv("c", path="a/b").annotations()
    assert found[f"{PREFIX}template-static-secret-render-interval"] == "24h"
    assert found[f"{PREFIX}auth-max-backoff"] == "1m30s"


def test_every_annotation_has_a_name_that_kubernetes_takes() -> None:
    longest = inject("r", audience="vault").kv("c" * 41, path="a/b", mode="0400", file="x", command="true")
    assert max(len(name.removeprefix(PREFIX)) for name in longest.annotations()) == 63


def test_truth_values_and_templates_are_read_as_the_injector_reads_them() -> None:
    annotations = {
        "agent-inject": "True",
        "role": "r",
        "agent-inject-template-only": "{{ 1 }}",
        "agent-revoke-on-shutdown": "T",
    }
    agent = configured({PREFIX + key: value for key, value in annotations.items()})
    assert agent.revokes
    (template,) = agent.config["template"]
    assert template["destination"] == "/nowhere/vault/secrets/only"
    assert template["contents"] == "{{ 1 }}"


def test_an_audience_asks_for_a_projected_token_and_names_its_volume() -> None:
    injection = example(audience="vault")
    (volume,) = injection.volumes()
    assert injection.annotations()[f"{PREFIX}agent-service-account-token-volume-name"] == volume["name"]
    assert volume["projected"] == {
        "sources": [{"serviceAccountToken": {"audience": "vault", "expirationSeconds": 3600, "path": "token"}}]
    }
    assert example().volumes() == []


def test_a_native_sidecar_is_the_init_container_that_stays() -> None:
    found = example(native_sidecar=True, address="https://vault.internal:8200").annotations()
    patch = {operation["path"]: operation["value"] for operation in json.loads(found[f"{PREFIX}agent-init-json-patch"])}
    assert patch["/restartPolicy"] == "Always"
    probe = patch["/startupProbe"]["exec"]["command"][-1]
    assert probe == "test -f /vault/secrets/db-creds && test -f /vault/secrets/app-config"
    assert "-address=https://vault.internal:8200 -self" in patch["/lifecycle"]["preStop"]["exec"]["command"][-1]
    agent = configured({**found, f"{PREFIX}service": "https://127.0.0.1:8200"})
    assert not agent.exits
    assert agent.arguments == ("-exit-after-auth=false",)


def test_only_a_job_may_go_without_renewal_of_a_dynamic_secret() -> None:
    assert configured(example().init_only(workload_kind="Job").annotations()).exits
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        with pytest.raises(InjectionError, match=f"workload_kind: a {kind} outlives its lease.*db-creds"):
            example().init_only(workload_kind=kind)
    static = inject("r").kv("c", path="a/b").init_only(workload_kind="Deployment")
    assert static.annotations()[f"{PREFIX}agent-pre-populate-only"] == "true"


def test_what_the_role_must_be_able_to_read_is_known() -> None:
    assert example().grants() == {
        "db-creds": "database/creds/app-readwrite",
        "app-config": "secret/data/production/payment-api",
    }


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: inject(""), "role: expected"),
        (lambda: inject("payment-*"), "role: expected"),
        (lambda: inject("r", auth_path="kubernetes"), "auth_path: 'kubernetes'"),
        (lambda: inject("r", address="http://vault:8200"), "address: expected an https"),
        (lambda: inject("r", static_interval="soon"), "static_interval: 'soon'"),
        (lambda: inject("r", max_backoff="never"), "max_backoff: 'never'"),
        (lambda: inject("r", renewal_threshold=1.5), "renewal_threshold: expected"),
        (lambda: inject("r", ca_cert="ca.pem"), "ca_cert: expected an absolute path"),
        (lambda: inject("r", native_sidecar=True), "address: a native sidecar"),
        (lambda: inject("r").annotations(), "secrets: nothing to inject"),
        (lambda: inject("r").database("d", role="x"), "host, database: the default template"),
        (lambda: inject("r").kv("c", path="data/a"), "path: 'data/a' holds the API's data/ part"),
        (lambda: inject("r").kv("c", path="a/*"), "is not a path in Vault"),
        (lambda: inject("r").kv("C!", path="a"), "name: 'C!'"),
        (lambda: inject("r").kv("c", path="a").kv("c", path="b"), "name: 'c' is given twice"),
        (lambda: inject("r").kv("c", path="a", mode="777"), "mode: '777'"),
        (lambda: inject("r").kv("c", path="a", file="../../etc/passwd"), "file: '../../etc/passwd'"),
        (lambda: inject("r").kv("c", path="a", template="hello"), "template: that of 'c' reads nothing"),
        (lambda: inject("r").kv("c\n", path="a"), "name: 'c"),
        (lambda: inject("r").kv("file-c", path="a"), "name: 'file-c'"),
        (lambda: inject("r").kv("c" * 42, path="a"), "at most 41"),
        (lambda: inject("r").kv("c", path="a//b"), "is not a path in Vault"),
        (lambda: inject("r").kv("c", path="a/../b"), "is not a path in Vault"),
        (lambda: inject("r").kv("c", path="a").kv("d", path="b", file="c"), "file: 'c' and 'd' are both written to"),
        (lambda: inject("r", audience=""), "audience: is empty"),
        (lambda: inject("r").database("d", role="x", host="h/x", database="d"), "host: 'h/x' is none"),
        (
            lambda: inject("r").database("d", role="x", host="h", database="d", ssl_mode="on"),
            "ssl_mode: 'on' is unknown",
        ),
        (
            lambda: (
                inject("r")
                .kv("c", path="a")
                .init_only(workload_kind="Deployment")
                .database("d", role="x", template="{{ 1 }}")
            ),
            "workload_kind: a Deployment outlives its lease",
        ),
        (
            lambda: example(native_sidecar=True, address="https://v").init_only(workload_kind="Job"),
            "native_sidecar: init_only",
        ),
    ],
)
def test_what_would_not_do_what_it_says_is_refused(build: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("*", r"\*").replace("!", "!")):
        build()


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({}, "agent-inject: expected"),
        ({**COMPLETE, "agent-inject-status": "injected"}, "agent-inject: expected"),
        ({"agent-inject": "true"}, "role: missing"),
        ({"agent-inject": "true", "role": "r"}, "agent-inject-secret-NAME: missing"),
        ({**COMPLETE, "agent-nonsense": "1"}, "agent-nonsense: the"),
        ({**COMPLETE, "agent-inject": "perhaps"}, "agent-inject: 'perhaps' is neither true nor false"),
        ({**COMPLETE, "agent-pre-populate-only": "yes"}, "agent-pre-populate-only: 'yes' is neither"),
        ({**COMPLETE, "agent-inject-template-file-a": "/vault/custom/a"}, "agent-inject-template-file-a: the"),
        (
            {**COMPLETE, "agent-pre-populate-only": "true", "agent-init-json-patch": "{"},
            "agent-init-json-patch: expected a JSON patch",
        ),
    ],
)
def test_the_sandbox_refuses_annotations_that_it_would_have_to_guess_at(
    annotations: dict[str, str], words: str
) -> None:
    with pytest.raises(AnnotationError, match=words):
        configured({PREFIX + key: value for key, value in annotations.items()})
