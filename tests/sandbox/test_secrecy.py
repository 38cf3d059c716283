"""No secret's value is in the state, the configuration, a preview, a log or anything that a run says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from sandbox import servers, stack
from tests.sandbox.dev_stack import DevStack
from tests.sandbox.inventory import vault

pytestmark = pytest.mark.sandbox
DELIVERED = ("db-creds", "app-config", "partner-keys", "reports-db", "reports-config", "reports-keys")


def values(dev: DevStack) -> dict[str, str]:
    """Every secret value there is, by a name that may be told."""
    found = {
        f"{name} {key}": value for name in DELIVERED for key, value in dev.secret(name).items() if key != "username"
    }
    found |= {
        f"reviewer {key}": value for key, value in dev.secret("platform-auth-reviewer-token", "kube-system").items()
    }
    del found["reviewer namespace"], found["reviewer ca.crt"]
    found["admin password"] = dev.endpoints.postgres.admin_password
    found["superuser password"] = dev.endpoints.postgres.superuser_password
    found["vault token"] = dev.endpoints.vault.token
    found["aws secret key"] = dev.endpoints.aws.secret_access_key
    found["passphrase"] = stack.passphrase_file(dev.state_dir).read_text(encoding="utf-8").strip()
    return found


def forms(value: str) -> set[str]:
    """A value as it might be written: plain, in JSON, in a URL, in Base64."""
    encoded = base64.b64encode(value.encode()).decode().rstrip("=")
    return {value, json.dumps(value)[1:-1], quote(value, safe=""), encoded}


def holds(text: str, value: str) -> bool:
    return any(form in text for form in forms(value))


def test_no_secret_value_is_anywhere(dev: DevStack) -> None:
    for action in ("preview", "up", "refresh"):
        assert dev.run(action).code == 0
    plain = dev.plain("up")
    secrets = values(dev)
    assert len(secrets) >= 15
    places = {
        "what the runs said": "\n".join(dev.said),
        "what an `up` for people said": plain,
        "the state": stack.state_file(dev.state_dir).read_text(encoding="utf-8"),
        "the configuration": (dev.state_dir / "sandbox.dev.yaml").read_text(encoding="utf-8"),
        "the servers' logs": servers.logs(dev.state_dir, None),
    }
    for folder in ("stacks", "logs"):
        for file in sorted(path for path in (dev.state_dir / folder).rglob("*") if path.is_file()):
            places[str(file.relative_to(dev.state_dir))] = file.read_text(encoding="utf-8", errors="replace")
    assert all(places.values())
    leaks = [
        f"{name} in {place}" for name, value in secrets.items() for place, text in places.items() if holds(text, value)
    ]
    assert leaks == []


def test_the_search_would_find_a_leak(dev: DevStack) -> None:
    secret = dev.secret("app-config")["API_KEY"]
    assert holds(f'{{"data": "{base64.b64encode(secret.encode()).decode()}"}}', secret)
    assert holds(f"password={secret}", secret)


def test_no_secret_is_on_a_command_line(dev: DevStack) -> None:
    secrets = values(dev)
    line = " ".join(dev.command("preview"))
    process = dev.start("preview")
    try:
        running = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
    finally:
        process.communicate(timeout=60)
    assert [name for name, value in secrets.items() if value in line + running] == []


def test_the_state_s_secrets_are_encrypted_and_the_passphrase_is_private(dev: DevStack) -> None:
    state = json.loads(stack.state_file(dev.state_dir).read_text(encoding="utf-8"))
    assert state["deployment"]["secrets_providers"]["type"] == "passphrase"
    assert stack.passphrase_file(dev.state_dir).stat().st_mode & 0o777 == 0o600
    assert (dev.state_dir / "sandbox.dev.yaml").stat().st_mode & 0o777 == 0o600
    assert vault(dev).is_authenticated()
