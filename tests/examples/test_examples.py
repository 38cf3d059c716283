"""Every numbered example comes up on real servers, delivers what it says, is stable, and goes without a trace."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import yaml

from examples.run import FOLDER, find, run
from sandbox import servers, stack
from sandbox.endpoints import Endpoints
from sandbox.toolchain.paths import wheel_binary
from tests.agent.platform import exported
from tests.waiting import until

pytestmark = pytest.mark.sandbox
EXAMPLES = sorted(path.name for path in FOLDER.glob("[0-9][0-9]-*"))
NAMESPACE = "production"


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Endpoints]:
    """A sandbox for the examples: each needs it empty."""
    state_dir = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    try:
        yield servers.start(state_dir, owner=os.getpid())
    finally:
        servers.stop(state_dir)
        if state_dir.exists():
            state_dir.rmdir()


@contextmanager
def up(number: str, endpoints: Endpoints) -> Iterator[dict[str, Any]]:
    """The example's outputs, while it is up; a second look finds nothing to change, and destroy leaves nothing."""
    example = find(number)
    done = run("up", example, endpoints)
    assert done.returncode == 0, done.stdout + done.stderr
    state = json.loads((Path(endpoints.state_dir) / f"{example.name}.json").read_text())
    root = next(each for each in state["deployment"]["resources"] if each["type"] == "pulumi:pulumi:Stack")
    try:
        yield root.get("outputs", {})
        again = run("preview", example, endpoints, "--expect-no-changes")
        assert again.returncode == 0, again.stdout + again.stderr
    finally:
        gone = run("destroy", example, endpoints)
        assert gone.returncode == 0, gone.stdout + gone.stderr
    remaining = kubectl(endpoints, "get", "namespaces", "-o", "name").split()
    assert f"namespace/{NAMESPACE}" not in remaining


def kubectl(endpoints: Endpoints, *arguments: str) -> str:
    done = subprocess.run(
        [str(wheel_binary("kubectl")), *arguments],
        env={**os.environ, **endpoints.env()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def secret(endpoints: Endpoints, name: str) -> dict[str, str]:
    found = json.loads(kubectl(endpoints, "get", "secret", name, "-n", NAMESPACE, "-o", "json"))["data"]
    return {key: base64.b64decode(value).decode() for key, value in found.items()}


def who(endpoints: Endpoints, user: str, password: str) -> str:
    """The database user that a login with this credential gives."""
    postgres = endpoints.postgres
    with psycopg.connect(
        host=postgres.host, port=postgres.port, dbname=postgres.database, user=user, password=password
    ) as connection:
        row = connection.execute("SELECT current_user").fetchone()
        return str(row[0]) if row else ""


def agent_injector(endpoints: Endpoints, outputs: dict[str, Any]) -> None:
    pod = Path(endpoints.state_dir) / "pods" / NAMESPACE / "payment-api"
    credentials, settings = (pod / path.lstrip("/") for path in outputs["files"])
    until("the agent rendered both files", lambda: credentials.exists() and settings.exists())
    user = exported(credentials, "DB_USERNAME")
    assert who(endpoints, user, exported(credentials, "DB_PASSWORD")) == user
    assert json.loads(settings.read_text()) == {"FEATURE": "on"}
    assert not json.loads(kubectl(endpoints, "get", "secrets", "-n", NAMESPACE, "-o", "json"))["items"]


def external_secrets(endpoints: Endpoints, outputs: dict[str, Any]) -> None:
    assert outputs["secrets"] == ["db-creds", "app-config"]
    found = secret(endpoints, "db-creds")
    assert who(endpoints, found["username"], found["password"]) == found["username"]
    assert len(secret(endpoints, "app-config")["API_KEY"]) == 32


def sealed_secrets(endpoints: Endpoints, outputs: dict[str, Any]) -> None:
    assert outputs["secrets"] == ["my-secret"]
    value = secret(endpoints, "my-secret")["API_KEY"]
    assert len(value) == 32
    assert value not in kubectl(endpoints, "get", "sealedsecrets", "-n", NAMESPACE, "-o", "yaml")


def secrets_manager(endpoints: Endpoints, outputs: dict[str, Any]) -> None:
    assert outputs["secrets"] == ["payment-api"]
    session = boto3.Session(
        endpoints.aws.access_key_id, endpoints.aws.secret_access_key, region_name=endpoints.aws.region
    )
    client = session.client("secretsmanager", endpoint_url=endpoints.aws.endpoint_url)
    value = json.loads(client.get_secret_value(SecretId="production/payment-api")["SecretString"])
    assert secret(endpoints, "payment-api") == value


def rotation(endpoints: Endpoints, outputs: dict[str, Any]) -> None:
    assert outputs["role"] == "payment-api"
    token = Path(endpoints.state_dir) / "application-token"
    token.write_text(
        kubectl(
            endpoints, "create", "token", "payment-api", "-n", NAMESPACE, "--audience=vault", "--duration=1h"
        ).strip()
    )
    postgres = endpoints.postgres
    arguments = [postgres.host, str(postgres.port), postgres.database, str(token), "20"]
    environment = {name: value for name, value in endpoints.env().items() if name in ("VAULT_ADDR", "VAULT_CACERT")}
    done = subprocess.run(
        [sys.executable, str(find("05") / "application.py"), *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(stack.ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = dict(part.split("=") for part in done.stdout.split())
    assert found["failed"] == "0"
    assert int(found["requests"]) > 1000
    assert int(found["users"]) >= 2


def sops(endpoints: Endpoints, outputs: dict[str, Any]) -> None:
    done = subprocess.run(
        [str(wheel_binary("bao")), "kv", "get", "-format=json", "secret/dev/report-mailer"],
        env={**os.environ, **endpoints.env()},
        capture_output=True,
        text=True,
        check=True,
    )
    value = json.loads(done.stdout)["data"]["data"]
    assert set(value) == {"SMTP_USER", "SMTP_PASSWORD"}
    assert value["SMTP_PASSWORD"] not in json.dumps(outputs)


CHECKS: dict[str, Callable[[Endpoints, dict[str, Any]], None]] = {
    "01-vault-agent-injector": agent_injector,
    "02-external-secrets-vault": external_secrets,
    "03-sealed-secrets": sealed_secrets,
    "04-secrets-manager-irsa": secrets_manager,
    "05-rotation-without-downtime": rotation,
    "06-sops": sops,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_delivers_and_leaves_nothing(name: str, endpoints: Endpoints) -> None:
    with up(name, endpoints) as outputs:
        CHECKS[name](endpoints, outputs)


def test_each_pattern_of_the_seed_has_its_example() -> None:
    assert set(CHECKS) == set(EXAMPLES)
    listed = (FOLDER / "README.md").read_text()
    for name in EXAMPLES:
        project = yaml.safe_load((FOLDER / name / "Pulumi.yaml").read_text())
        assert project["name"] == name.partition("-")[2]
        assert f"]({name}) |" in listed
        assert all("description" in entry or "default" in entry for entry in project["config"].values())


def test_an_example_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="'07' is no example; there are: 01-vault-agent-injector"):
        find("07")
