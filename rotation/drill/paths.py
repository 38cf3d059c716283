"""The delivery paths that a drill takes: each sets up what it rotates, says how, and counts what is left behind."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotation._credential import Source
from rotation._credentials import Credentials
from rotation._files import MountedFiles
from rotation._secrets_manager import SecretsManager
from rotation._vault import VaultDynamic, VaultStatic
from rotation.drill import delivery
from rotation.drill.target import Database, VaultMount
from rotation.errors import InvalidArgument
from rotation.function import RotationFunction

POLL = 0.1  # seconds; a drill does not wait a minute for each change
_MOST_LEASES = 20
_AGENT_TTL = "8s"


@dataclass
class Case:
    """A source under drill."""

    source: Source
    rotate: Callable[[Credentials], None]
    left_over: Callable[[], int] | None
    """Users, leases and sessions that are still there after everything was closed and should not be; None: cannot tell."""
    slow: bool = False
    """Rotated by a clock: the drill waits for it, so it takes few rotations."""
    most: int | None = None
    """No more rotations than this, as each leaves something behind until it ends by itself."""


Path_ = Callable[[Database], AbstractContextManager[Case]]


@contextmanager
def vault_dynamic(database: Database) -> Iterator[Case]:
    """A new lease each time; the old one is revoked when its last connection has come back."""
    with VaultMount(database) as mount:
        role = mount.dynamic("30m", "2h")
        source = VaultDynamic(role, mount=mount.path)
        yield Case(source, lambda credentials: _done(credentials.refresh()), lambda: len(database.roles("v-%-drill-%")))


@contextmanager
def vault_static(database: Database) -> Iterator[Case]:
    """Vault changes the password of one user."""
    with database.user() as (name, _), VaultMount(database) as mount:
        role = mount.static(name)
        source = VaultStatic(role, mount=mount.path, poll_interval=POLL)
        rotate = f"{mount.path}/rotate-role/{role}"
        yield Case(source, lambda _: _done(mount.session.request("post", rotate)), lambda: database.sessions(name))
        mount.session.request("delete", f"{mount.path}/static-roles/{role}")


@contextmanager
def secrets_manager_single_user(database: Database) -> Iterator[Case]:
    """The rotation function changes the password of one user."""
    with _secret(database, "single-user") as case:
        yield case


@contextmanager
def secrets_manager_alternating_users(database: Database) -> Iterator[Case]:
    """The rotation function takes turns between two users."""
    with _secret(database, "alternating-users") as case:
        yield case


@contextmanager
def agent_file(database: Database) -> Iterator[Case]:
    """Vault Agent renders a file from a short lease, again before each end of it."""
    with VaultMount(database) as mount, tempfile.TemporaryDirectory(prefix="drill-") as name:
        role = mount.dynamic(_AGENT_TTL, _AGENT_TTL)
        with delivery.agent(f"{mount.path}/creds/{role}", Path(name)) as file:
            held = 1  # the agent's own lease of the moment
            yield Case(
                MountedFiles(file, poll_interval=POLL / 2),
                lambda _: None,
                lambda: max(len(database.roles("v-%-drill-%")) - held, 0) + database.sessions("v-%-drill-%"),
                slow=True,
            )


@contextmanager
def external_secret_file(_: Database, which: str | None = None) -> Iterator[Case]:
    """External Secrets writes a Secret from a new lease; its volume is written as the kubelet does."""
    namespace, name, target = _external_secret(which)
    with (
        tempfile.TemporaryDirectory(prefix="drill-") as folder,
        delivery.mounted_secret(namespace, target, Path(folder) / "volume") as volume,
    ):
        source = MountedFiles(volume.folder, poll_interval=POLL / 2)
        yield Case(source, lambda _: delivery.force_sync(namespace, name), None, most=_MOST_LEASES)


PATHS: dict[str, Path_] = {
    "vault-dynamic": vault_dynamic,
    "vault-static": vault_static,
    "secrets-manager-single-user": secrets_manager_single_user,
    "secrets-manager-alternating-users": secrets_manager_alternating_users,
    "external-secret-file": external_secret_file,
    "agent-file": agent_file,
}


@contextmanager
def _secret(database: Database, strategy: str) -> Iterator[Case]:
    import boto3

    client: Any = boto3.client("secretsmanager")
    name = f"drill/{secrets.token_hex(4)}"
    function = RotationFunction(client, strategy)
    place = {"engine": "postgres", "host": database.host, "port": int(database.port), "dbname": database.name}
    administrator = f"drill_admin_{secrets.token_hex(4)}"
    made = []
    try:
        with database.user() as (user, password):
            value = {**place, "username": user, "password": password}
            if strategy == "alternating-users":
                word = secrets.token_urlsafe(24)
                database.administrator_for_vault(administrator, word)
                database.let_manage(administrator, user)
                master = json.dumps({**place, "username": administrator, "password": word})
                value["masterarn"] = client.create_secret(Name=f"{name}-master", SecretString=master)["ARN"]
                made.append(f"{name}-master")
            client.create_secret(Name=name, SecretString=json.dumps(value))
            made.append(name)
            source = SecretsManager(name, client=client, poll_interval=POLL)
            yield Case(source, lambda _: _done(function.rotate(name)), lambda: database.sessions(f"{user}%"))
    finally:
        for each in made:
            client.delete_secret(SecretId=each, ForceDeleteWithoutRecovery=True)
        database.drop(administrator)


def _external_secret(which: str | None) -> tuple[str, str, str]:
    found = delivery.external_secrets()
    if which is not None:
        found = [each for each in found if f"{each[0]}/{each[1]}" == which]
    if not found:
        raise InvalidArgument(
            f"no ExternalSecret {which or ''} with a generator of dynamic credentials in the cluster of KUBECONFIG"
        )
    return found[0]


def _done(_: object) -> None:
    """For lambdas that return nothing."""
