"""The injector's annotations on real parts: a real agent, OpenBao, PostgreSQL and API server."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from components.vault.agent_injection import PREFIX
from rotation import MountedFiles
from sandbox import servers
from sandbox.servers.openbao import seal, unseal
from sandbox.toolchain.paths import wheel_binary
from tests.agent.platform import NAMESPACE, Platform, encodings, exported
from tests.waiting import until

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def platform(agent_platform: Platform) -> Platform:
    return agent_platform


@pytest.fixture(scope="module", autouse=True)
def injector(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """The host process of the release `vault`, as the sandbox starts it."""
    log = tmp_path_factory.mktemp("injector") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.injector"],
            env={**os.environ, **platform.environment()},
            stdout=output,
            stderr=output,
        )
    yield process
    process.terminate()
    assert process.wait(timeout=120) == 0, log.read_text()
    print(log.read_text())


def test_the_seeds_two_files_are_rendered_and_work(platform: Platform) -> None:
    platform.database_role("app", ttl=60, max_ttl=600)
    platform.write("agents-kv/data/production/payment-api", {"data": {"key": "välue", "nested": {"n": 1}}})
    platform.login_role(
        "both",
        'path "agents-db/creds/app" { capabilities = ["read"] }\n'
        'path "agents-kv/data/production/payment-api" { capabilities = ["read"] }',
    )
    postgres = platform.postgres
    injection = (
        platform.injection("both")
        .database("db-creds", role="app", mount="agents-db", host=postgres.host, port=postgres.port, database=postgres.database)
        .kv("app-config", path="production/payment-api", mount="agents-kv", mode="0440")
    )  # fmt: skip
    with platform.workload("seed", injection) as secrets:
        until("both files are there", lambda: (secrets / "db-creds").exists() and (secrets / "app-config").exists())
        user, url = exported(secrets / "db-creds", "DB_USERNAME"), exported(secrets / "db-creds", "DATABASE_URL")
        assert f"//{user}:{exported(secrets / 'db-creds', 'DB_PASSWORD')}@{postgres.host}" in url
        assert user in platform.users()
        assert json.loads((secrets / "app-config").read_text()) == {"key": "välue", "nested": {"n": 1}}
        assert stat.S_IMODE((secrets / "app-config").stat().st_mode) == 0o440
    until("the pod's end revokes its lease", lambda: user not in platform.users())


def test_passwords_of_any_characters_work_in_the_shell_in_the_url_and_in_the_pool(platform: Platform) -> None:
    """A password policy gives them: each would end the string, be expanded by the shell, or be read as a part of the URL."""
    symbols = """a "$`\\\\@/:?#%&+=é!~"""
    escaped = symbols.replace('"', '\\"')
    policy = f'length = 40\nrule "charset" {{ charset = "{escaped}" }}'
    platform.write("sys/policies/password/symbols", {"policy": policy})
    platform.database_connection("symbols", password_policy="symbols")
    platform.database_role("symbols", ttl=60, max_ttl=600, connection="symbols")
    postgres = platform.postgres
    place: dict[str, Any] = {"host": postgres.host, "port": postgres.port, "database": postgres.database}
    injection = platform.injection("symbols").database("db", role="symbols", mount="agents-db", escape=True, **place)
    with platform.workload("symbols", injection) as secrets:
        until("the credentials are rendered", (secrets / "db").exists)
        password = exported(secrets / "db", "DB_PASSWORD")
        assert set(password) <= set(symbols)
        assert len(set(password)) > 5
        with psycopg.connect(exported(secrets / "db", "DATABASE_URL")) as connection:
            row = connection.execute("SELECT current_user").fetchone()
        assert row == (exported(secrets / "db", "DB_USERNAME"),)
        assert MountedFiles(secrets / "db").fetch().password == password


def test_one_workload_has_several_databases_and_any_text_in_its_json(platform: Platform) -> None:
    odd = {
        "quote": "\"'",
        "shell": "$HOME `id` \\",
        "lines": "a\nb\r\n",
        "unicode": "ñ☃\u2028",
        "markup": "<a&b>",
        "empty": "",
    }
    platform.write("agents-kv/data/odd", {"data": odd})
    for name in ("orders", "ledger"):
        platform.database_role(name, ttl=60, max_ttl=600)
    reads = ("agents-db/creds/orders", "agents-db/creds/ledger", "agents-kv/data/odd")
    platform.login_role("several", "\n".join(f'path "{path}" {{ capabilities = ["read"] }}' for path in reads))
    postgres = platform.postgres
    place: dict[str, Any] = {"host": postgres.host, "port": postgres.port, "database": postgres.database}
    injection = platform.injection("several").kv("config.json", path="odd", mount="agents-kv", file="app/config.json")
    for name in ("orders", "ledger"):
        injection = injection.database(f"{name}.env", role=name, mount="agents-db", **place)
    assert set(injection.grants().values()) == set(reads)
    with platform.workload("several", injection, kind="StatefulSet") as secrets:
        files = [secrets / name for name in ("orders.env", "ledger.env", "app/config.json")]
        until("all are rendered", lambda: all(file.exists() for file in files))
        assert json.loads(files[2].read_text()) == odd
        users = {exported(file, "DB_USERNAME") for file in files[:2]}
        assert len(users) == 2
        assert users <= platform.users()


def test_no_secret_object_exists_and_nothing_in_etcd_holds_the_password(platform: Platform, tmp_path: Path) -> None:
    platform.database_role("quiet", ttl=60, max_ttl=600)
    with platform.workload("quiet", platform.credentials("quiet")) as secrets:
        until("the credentials are rendered", (secrets / "db-creds").exists)
        password = exported(secrets / "db-creds", "DB_PASSWORD")
        user = exported(secrets / "db-creds", "DB_USERNAME")
        assert len(password) >= 20
        assert not json.loads(platform.kubectl("get", "secrets", "-n", NAMESPACE, "-o", "json"))["items"]
        # The same search finds a value that is there, or it would prove nothing.
        marker = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "control", "namespace": NAMESPACE}}
        platform.apply({**marker, "stringData": {"value": "control-value-4711"}})
        dump = etcd_dump(platform)
        assert any(form in dump for form in encodings("control-value-4711"))
        assert PREFIX.encode() in dump
        platform.kubectl("delete", "secret", "control", "-n", NAMESPACE)
        for form in [*encodings(password), *encodings(user)]:
            assert form not in dump


def test_a_lease_is_renewed_before_it_ends_and_the_app_keeps_its_user(platform: Platform, tmp_path: Path) -> None:
    platform.database_role("renewed", ttl=20, max_ttl=600)
    with (
        platform.workload("renewed", platform.credentials("renewed")) as secrets,
        platform.application(secrets / "db-creds", tmp_path / "app") as app,
    ):
        time.sleep(44)  # more than two whole leases
        assert app.failures() == []
        assert len(app.served()) > 50
        assert len(set(app.served())) == 1


def test_at_max_ttl_the_app_gets_a_new_user_without_a_restart(platform: Platform, tmp_path: Path) -> None:
    platform.database_role("replaced", ttl=15, max_ttl=30)
    with (
        platform.workload("replaced", platform.credentials("replaced")) as secrets,
        platform.application(secrets / "db-creds", tmp_path / "app") as app,
    ):
        until("a third user serves", lambda: len(set(app.served())) >= 3, seconds=180)
        first, *_ = app.served()
        assert app.failures() == []
        until("the first user is gone", lambda: first not in platform.users())


def test_the_app_never_notices_that_openbao_is_sealed_for_half_a_lease(platform: Platform, tmp_path: Path) -> None:
    lease = 60
    platform.database_role("sealed", ttl=lease, max_ttl=600)
    with (
        platform.workload("sealed", platform.credentials("sealed", max_backoff="2s")) as secrets,
        platform.application(secrets / "db-creds", tmp_path / "app") as app,
    ):
        until("the app is served", lambda: len(app.served()) > 5)
        time.sleep(lease * 0.3)  # the seal then covers the renewal, which comes after two thirds of a lease
        seal(platform.endpoint)
        try:
            time.sleep(lease / 2)
            during = len(app.served())
        finally:
            unseal(platform.state_dir, platform.endpoint)
        time.sleep(lease * 0.6)  # past the end that the lease had before the seal
        log = (secrets.parent.parent / "agent.log").read_text()
        assert "Vault is sealed" in log
        assert app.failures() == [], log
        assert len(app.served()) > during + 50


def test_static_values_are_read_again_and_a_command_runs_after_each_rendering(
    platform: Platform, tmp_path: Path
) -> None:
    platform.login_role("static", 'path "agents-kv/data/static" { capabilities = ["read"] }')
    platform.write("agents-kv/data/static", {"data": {"flag": "old"}})
    injection = platform.injection("static", static_interval="2s").kv(
        "config",
        path="static",
        mount="agents-kv",
        template='{{ with secret "agents-kv/data/static" }}flag={{ .Data.data.flag }}{{ end }}',
        file="app/config.env",
        command=f"echo rendered >> {tmp_path}/commands",
    )
    with platform.workload("static", injection, kind="StatefulSet") as secrets:
        file = secrets / "app" / "config.env"
        until("the first value", lambda: file.exists() and file.read_text() == "flag=old")
        platform.write("agents-kv/data/static", {"data": {"flag": "new"}})
        until("the new value", lambda: file.read_text() == "flag=new")
        until("the command ran twice", lambda: (tmp_path / "commands").read_text().count("rendered") == 2)


def test_a_lease_that_cannot_be_renewed_is_replaced_before_its_end(platform: Platform) -> None:
    """A certificate, which is no built-in kind of secret, at nine tenths of its life."""
    life = 40
    platform.write("sys/mounts/agents-pki", {"type": "pki"})
    platform.write("agents-pki/root/generate/internal", {"common_name": "root", "ttl": "1h"})
    platform.write(
        "agents-pki/roles/web", {"allow_any_name": True, "generate_lease": True, "ttl": life, "max_ttl": life}
    )
    platform.login_role("pki", 'path "agents-pki/issue/web" { capabilities = ["update"] }')
    read = '{{ with secret "agents-pki/issue/web" "common_name=a.example.com" }}{{ .Data.serial_number }}{{ end }}'
    injection = platform.injection("pki").secret("serial", path="agents-pki/issue/web", template=read, lease=True)
    with platform.workload("pki", injection) as secrets:
        file = secrets / "serial"
        until("the first certificate", file.exists)
        issued, first = file.stat().st_mtime, file.read_text()
        until("the second one", lambda: file.read_text() != first, seconds=life + 60)
        assert file.stat().st_mtime - issued < life


def test_the_token_carries_the_audience_that_was_asked_for(platform: Platform) -> None:
    platform.login_role("audience", 'path "agents-kv/data/aud" { capabilities = ["read"] }', audience="vault")
    platform.write("agents-kv/data/aud", {"data": {"a": "b"}})
    right = platform.injection("audience", audience="vault").kv("c", path="aud", mount="agents-kv")
    wrong = platform.injection("audience", audience="elsewhere").kv("c", path="aud", mount="agents-kv")
    with platform.workload("right", right) as secrets, platform.workload("wrong", wrong) as refused:
        until("the right audience logs in", (secrets / "c").exists)
        log = refused.parent.parent / "agent.log"
        until("the wrong audience is refused", lambda: log.exists() and "invalid audience" in log.read_text())
        assert not (refused / "c").exists()


def test_another_service_account_gets_nothing(platform: Platform) -> None:
    platform.database_role("mine", ttl=60, max_ttl=600)
    with platform.workload("thief", platform.credentials("mine"), account="other") as secrets:
        log = secrets.parent.parent / "agent.log"
        until("the login is refused", lambda: log.exists() and "service account name not authorized" in log.read_text())
        assert not (secrets / "db-creds").exists()


def test_a_job_without_a_sidecar_has_its_files_and_no_agent(platform: Platform) -> None:
    platform.database_role("job", ttl=60, max_ttl=600)
    with platform.workload("once", platform.credentials("job").init_only(workload_kind="Job"), kind="Job") as secrets:
        until("the file is there", (secrets / "db-creds").exists)
        until("the agent ended", lambda: not agents_of("once", platform.state_dir))


def test_a_native_sidecar_stays_though_its_configuration_says_exit(platform: Platform) -> None:
    platform.database_role("native", ttl=20, max_ttl=600)
    injection = platform.credentials("native", native_sidecar=True, address=platform.endpoint.address)
    with platform.workload("native", injection) as secrets:
        until("the file is there", (secrets / "db-creds").exists)
        user = exported(secrets / "db-creds", "DB_USERNAME")
        time.sleep(25)
        assert len(agents_of("native", platform.state_dir)) == 1
        assert user in platform.users()


def test_a_rollout_with_other_annotations_restarts_the_agent_alone(platform: Platform) -> None:
    platform.login_role("rollout", 'path "agents-kv/data/rollout/*" { capabilities = ["read"] }')
    for name in ("one", "two"):
        platform.write(f"agents-kv/data/rollout/{name}", {"data": {"name": name}})
    first = platform.injection("rollout").kv("one", path="rollout/one", mount="agents-kv")
    second = platform.injection("rollout").kv("two", path="rollout/two", mount="agents-kv")
    with platform.workload("rollout", first) as secrets:
        until("the first file", (secrets / "one").exists)
        with platform.workload("rollout", second):
            until("the second file", (secrets / "two").exists)
            assert not (secrets / "one").exists()


@pytest.mark.parametrize(
    ("annotations", "pod", "words"),
    [
        ({}, {}, f"{PREFIX}role: missing"),
        ({"role": "r"}, {"automountServiceAccountToken": False}, "the agent has none to log in with"),
        ({"role": "r", "agent-service-account-token-volume-name": "absent"}, {}, "the pod has no volume 'absent'"),
    ],
)
def test_a_pod_that_would_be_refused_says_why(
    platform: Platform, annotations: dict[str, str], pod: dict[str, Any], words: str
) -> None:
    ours = {PREFIX + key: value for key, value in {"agent-inject": "true", **annotations}.items()}
    container = {"name": "app", "image": "registry.example.com/app:1"}
    platform.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "broken", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": {"app": "broken"}},
                "template": {
                    "metadata": {"labels": {"app": "broken"}, "annotations": ours},
                    "spec": {"containers": [container], **pod},
                },
            },
        }
    )
    error = platform.pods / "broken" / "error"
    until("the error is written", lambda: error.exists() and words in error.read_text())
    platform.kubectl("delete", "deployment", "broken", "-n", NAMESPACE)
    until("its folder goes with it", lambda: not error.parent.exists())


def test_a_rollout_that_is_refused_leaves_the_agent_that_runs(platform: Platform) -> None:
    platform.login_role("steady", 'path "agents-kv/data/steady" { capabilities = ["read"] }')
    platform.write("agents-kv/data/steady", {"data": {"a": "b"}})

    def role(value: str | None) -> None:
        template = {"metadata": {"annotations": {f"{PREFIX}role": value}}}
        patch = json.dumps({"spec": {"template": template}})
        platform.kubectl("patch", "deployment", "steady", "-n", NAMESPACE, "--type=merge", "-p", patch)

    with platform.workload("steady", platform.injection("steady").kv("c", path="steady", mount="agents-kv")) as secrets:
        until("the file is there", (secrets / "c").exists)
        (agent,) = agents_of("steady", platform.state_dir)
        role(None)
        error = platform.pods / "steady" / "error"
        until("the rollout is refused", error.exists)
        assert agents_of("steady", platform.state_dir) == [agent]
        role("steady")
        until("it is taken back", lambda: not error.exists())
        assert agents_of("steady", platform.state_dir) == [agent]
        assert (secrets / "c").exists()


def test_tokens_are_kept_fresh_and_agents_end_with_an_injector_that_is_killed(
    platform: Platform, tmp_path: Path
) -> None:
    """A second injector with pods of its own; it takes a token for old after a thousandth of its life."""
    platform.login_role("fresh", 'path "agents-kv/data/fresh" { capabilities = ["read"] }')
    platform.write("agents-kv/data/fresh", {"data": {"a": "b"}})
    program = "import sys, sandbox.injector as injector; injector.FRESH = 0.001; sys.exit(injector.main())"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **platform.environment(), "STRONGROOM_SANDBOX": str(tmp_path)},
            stdout=log,
            stderr=log,
        )
    try:
        with platform.workload("fresh", platform.injection("fresh").kv("c", path="fresh", mount="agents-kv")):
            pod = tmp_path / "pods" / NAMESPACE / "fresh"
            until("the file is there", (pod / "vault" / "secrets" / "c").exists)
            token = pod / "var/run/secrets/token"
            first = token.read_text()
            assert stat.S_IMODE(token.stat().st_mode) == 0o600
            until("another token", lambda: token.read_text() != first)
            assert len(agents_of("fresh", tmp_path)) == 1
            process.kill()
            until("its agent is gone", lambda: not agents_of("fresh", tmp_path))
    finally:
        process.kill()
        process.wait()


def agents_of(name: str, state_dir: Path) -> list[int]:
    """Process ids of the agents of one pod."""
    needle = f"{state_dir}/pods/{NAMESPACE}/{name}/agent.json"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if needle.encode() in command and b"agent" in command:
                found.append(int(entry.name))
    return found


def etcd_dump(platform: Platform) -> bytes:
    """Every key and value of the cluster's store."""
    state_dir = platform.state_dir
    (address,) = (server.address for server in servers.status(state_dir) if server.name == "etcd")
    certificates = state_dir / "certificates"
    login = [
        f"--cacert={certificates / 'ca.pem'}",
        f"--cert={certificates / 'etcd.pem'}",
        f"--key={certificates / 'etcd.key'}",
    ]
    command = [str(wheel_binary("etcdctl")), f"--endpoints={address}", *login, "get", "", "--prefix"]
    return subprocess.run(command, capture_output=True, check=True).stdout
