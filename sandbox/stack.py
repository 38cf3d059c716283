"""The dev stack on the sandbox: the project's own program, run by the embedded engine or by the Pulumi CLI.

Both engines run the same ``__main__.py`` with the same configuration: the checkout's ``Pulumi.dev.yaml`` and what each sandbox
has of its own, written to a file in the sandbox's directory with its secret encrypted. Providers find the servers by
the ordinary environment variables. The state is in the sandbox's directory too, so it goes with the sandbox.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from sandbox import repository
from sandbox.endpoints import Endpoints
from sandbox.engine.config import read_yaml
from sandbox.engine.errors import ConfigError
from sandbox.engine.secrets import Crypter
from sandbox.process import die_with_parent, foreground
from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import VaultApiError

PROJECT = "strongroom"
STACK = "dev"
ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies"
POLICY_CONFIG = POLICIES / "config" / f"{STACK}.json"
PROVIDERS = {
    "aws": "sandbox.providers.aws:AwsProvider",
    "kubernetes": "sandbox.providers.kubernetes:KubernetesProvider",
    "pulumi-python": "sandbox.providers.dynamic:DynamicProvider",
    "random": "sandbox.providers.random:RandomProvider",
    "vault": "sandbox.providers.vault:VaultProvider",
}


class StackError(Exception):
    """The stack cannot be run; the message names what is missing and the fix."""


def passphrase_file(state_dir: Path) -> Path:
    """The passphrase of the stack's secrets, made once for each sandbox, readable by its owner only."""
    path = state_dir / "passphrase"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32))
    return path


def environment(endpoints: Endpoints) -> dict[str, str]:
    """What a program of the dev stack, its providers and its tools find in their environment."""
    state_dir = Path(endpoints.state_dir)
    result = {name: value for name, value in os.environ.items() if name != "PULUMI_CONFIG_PASSPHRASE"}
    result |= endpoints.env()
    result["SOPS_AGE_KEY_FILE"] = str(repository.age_key_file(endpoints))
    result["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file(state_dir))
    result["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{result.get('PATH', '')}"
    result["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), result.get("PYTHONPATH")]))
    return result


def state_file(state_dir: Path) -> Path:
    """The stack's state: Pulumi's deployment JSON, secrets encrypted."""
    return state_dir / "stacks" / f"{STACK}.json"


def settings(endpoints: Endpoints, sealing_certificate: str) -> dict[str, Any]:
    """What the program is configured with because it runs in this sandbox; none of it is secret."""
    return {
        "awsAccountId": endpoints.aws.account_id,
        "awsRegion": endpoints.aws.region,
        "clusterIssuer": endpoints.kubernetes.issuer,
        "vaultAddress": endpoints.vault.address,
        "vaultCaCertificate": Path(endpoints.vault.ca_file).read_text(encoding="utf-8"),
        "vaultReviewer": "service-account",  # Vault runs beside the cluster, not in it
        "kubernetesHost": endpoints.kubernetes.server,
        "kubernetesCaCertificate": Path(endpoints.kubernetes.ca_file).read_text(encoding="utf-8"),
        "databaseHost": endpoints.postgres.host,
        "databasePort": endpoints.postgres.port,
        "databaseName": endpoints.postgres.database,
        "databaseUser": endpoints.postgres.admin_user,
        "databaseSslMode": "disable",  # loopback
        "allowUnencryptedDatabase": True,
        "sealingCertificate": sealing_certificate,
        "repository": str(repository.folder(endpoints)),
    }


def config_files(endpoints: Endpoints, sealing_certificate: str | None = None) -> list[Path]:
    """The stack's configuration: the checkout's file and, made anew, one in the sandbox with this sandbox's settings.

    The later wins. ``sealing_certificate`` is the cluster's where it is left out.
    $STRONGROOM_STACK_CONFIG names another file in place of the checkout's.
    """
    base = Path(os.environ.get("STRONGROOM_STACK_CONFIG") or ROOT / f"Pulumi.{STACK}.yaml")
    state_dir = Path(endpoints.state_dir)
    path = state_dir / f"sandbox.{STACK}.yaml"
    repository.prepare(endpoints)
    salt = yaml.safe_load(path.read_text(encoding="utf-8"))["encryptionsalt"] if path.exists() else None
    crypter = Crypter(passphrase_file(state_dir).read_text(encoding="utf-8").strip(), salt, where=str(path))
    certificate = sealing_certificate or repository.sealing_certificate(endpoints)
    config = {f"{PROJECT}:{key}": value for key, value in settings(endpoints, certificate).items()}
    config[f"{PROJECT}:databasePassword"] = {"secure": crypter.encrypt(endpoints.postgres.admin_password)}
    _write_config(path, crypter.salt, config)
    return [base, path]


def _write_config(path: Path, salt: str, config: Mapping[str, Any]) -> None:
    text = "# Made anew by each command: changes here are lost.\n"
    text += yaml.safe_dump({"encryptionsalt": salt, "config": dict(config)}, sort_keys=False)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _one_config_file(base: Path, own: Path) -> Path:
    """Both in one, since the Pulumi CLI takes one file only. Raises StackError where the base cannot be read."""
    try:
        content, settings_here = read_yaml(base), read_yaml(own)
    except ConfigError as error:
        raise StackError(str(error)) from error
    path = own.with_name(f"Pulumi.{STACK}.yaml")
    _write_config(path, settings_here["encryptionsalt"], {**(content.get("config") or {}), **settings_here["config"]})
    return path


def give_vault_its_database_user(endpoints: Endpoints) -> None:
    """Set the first password of Vault's database user again where no Vault connection uses it, as a DBA would.

    Vault rotates that password and alone knows the new one; it is lost with the connection when the stack is destroyed.
    """
    postgres = endpoints.postgres
    if _has_database_connection(endpoints):
        return
    with psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        dbname="postgres",
        user=postgres.superuser,
        password=postgres.superuser_password,
        autocommit=True,
    ) as connection:
        user, password = sql.Identifier(postgres.admin_user), sql.Literal(postgres.admin_password)
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(user, password))


def _has_database_connection(endpoints: Endpoints) -> bool:
    client = VaultClient(endpoints.vault.address, endpoints.vault.token, ca_file=endpoints.vault.ca_file)
    try:
        mounts = client.data("sys/mounts") or {}
        engines = [path for path, mount in mounts.items() if mount.get("type") == "database"]
        return any(_listed(client, f"{engine}config") for engine in engines)
    finally:
        client.close()


def _listed(client: VaultClient, path: str) -> bool:
    try:
        answer = client.request("LIST", path)
    except VaultApiError as error:
        if error.code == 404:
            return False
        raise
    return bool((answer.get("data") or {}).get("keys"))


def command(action: str, endpoints: Endpoints, config: Sequence[Path], arguments: Sequence[str] = ()) -> list[str]:
    """The embedded engine's command line for this stack; nothing in it is secret."""
    state = state_file(Path(endpoints.state_dir))
    state.parent.mkdir(mode=0o700, exist_ok=True)
    line = [sys.executable, "-m", "sandbox.engine", action, "--program", str(ROOT)]
    line += ["--project", PROJECT, "--stack", STACK, "--state", str(state)]
    for file in config:
        line += ["--config-file", str(file)]
    for provider in PROVIDERS.values():
        line += ["--provider", provider]
    if action in ("preview", "up"):
        line += ["--policy-pack", str(POLICIES), "--policy-pack-config", str(POLICY_CONFIG)]
    return [*line, *arguments]


def run(action: str, endpoints: Endpoints, arguments: Sequence[str] = ()) -> int:
    """Run ``preview``, ``up``, ``refresh`` or ``destroy`` with the embedded engine on this terminal; its exit code."""
    config = config_files(endpoints)
    if action == "up":
        give_vault_its_database_user(endpoints)
    line = command(action, endpoints, config, arguments)
    return foreground(line, env=environment(endpoints), cwd=ROOT, preexec_fn=die_with_parent)


def run_with_pulumi(action: str, endpoints: Endpoints) -> int:
    """Run the same stack with the Pulumi CLI, attached to the sandbox's providers; its exit code.

    The CLI's state is a folder in the sandbox, so nothing of it is left either. Raises StackError without a CLI.
    """
    if shutil.which("pulumi") is None:
        raise StackError("ENGINE=pulumi: no `pulumi` on the PATH; install the CLI, or leave ENGINE out")
    backend = _backend(Path(endpoints.state_dir))
    backend.mkdir(mode=0o700, exist_ok=True)
    variables = environment(endpoints)
    variables |= {
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_HOME": str(backend / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    servers: list[subprocess.Popen[str]] = []
    try:
        attached = []
        for package, location in PROVIDERS.items():
            if package == "pulumi-python":
                continue  # the CLI has its own
            module = location.partition(":")[0]
            server = subprocess.Popen(
                [sys.executable, "-m", module], env=variables, cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            servers.append(server)
            assert server.stdout is not None
            attached.append(f"{package}:{int(server.stdout.readline())}")
        variables["PULUMI_DEBUG_PROVIDERS"] = ",".join(attached)
        select = ["pulumi", "-C", str(_workspace(backend)), "stack", "select", "--create", STACK, "--non-interactive"]
        done = subprocess.run(select, env=variables, cwd=ROOT, check=False)
        if done.returncode != 0:
            return done.returncode
        config = _one_config_file(*config_files(endpoints))
        if action == "up":
            give_vault_its_database_user(endpoints)
        confirm = [] if action == "preview" else ["--yes"]
        line = ["pulumi", action, "--stack", STACK, "--config-file", str(config), *confirm]
        if action in ("preview", "up"):
            line += ["--policy-pack", str(POLICIES), "--policy-pack-config", str(POLICY_CONFIG)]
        return foreground(line, env=variables, cwd=ROOT)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(timeout=10)


def outputs(state_dir: Path, engine: str = "embedded") -> Mapping[str, Any]:
    """The stack's outputs as they stand in its engine's state; secret ones are ciphertexts. Empty before the first ``up``."""
    for resource in _resources(state_dir, engine):
        if resource["type"] == "pulumi:pulumi:Stack":
            found: dict[str, Any] = resource.get("outputs", {})
            return found
    return {}


def refuse_other_engine(state_dir: Path, engine: str) -> None:
    """Raises StackError where the stack is the other engine's: both would make the same things."""
    other = "pulumi" if engine == "embedded" else "embedded"
    if _resources(state_dir, other) and not _resources(state_dir, engine):
        raise StackError(
            f"ENGINE={engine}: this sandbox's stack was deployed with ENGINE={other}; `make destroy ENGINE={other}` first, "
            "or go on with that one (docs/engine.md: moving a state)"
        )


def _resources(state_dir: Path, engine: str) -> list[dict[str, Any]]:
    file = state_file(state_dir)
    if engine == "pulumi":
        file = _backend(state_dir) / ".pulumi" / "stacks" / PROJECT / f"{STACK}.json"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    deployment = (state["checkpoint"].get("latest") if engine == "pulumi" else state["deployment"]) or {}
    found: list[dict[str, Any]] = deployment.get("resources") or []
    return found


def _workspace(backend: Path) -> Path:
    """Where the CLI makes the stack: it writes a salt to that folder's Pulumi.dev.yaml, and must not to the checkout's."""
    folder = backend / "workspace"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n", encoding="utf-8")
    return folder


def _backend(state_dir: Path) -> Path:
    """Where the Pulumi CLI keeps its states of this sandbox."""
    return state_dir / "pulumi"
