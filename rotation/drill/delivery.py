"""What brings a credential into a pod's files: the kubelet's part for a Secret, and Vault Agent as it is."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rotation.errors import InvalidArgument, SourceUnavailable

_READY = 60.0


class Volume:
    """A folder that is written as the kubelet writes a Secret's volume: a new folder, then one symlink swapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._number = 0

    def write(self, values: dict[str, bytes]) -> None:
        data = self.folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        self._number += 1
        version = self.folder / f"..version_{self._number}"
        version.mkdir(mode=0o700)
        for key, value in values.items():
            (version / key).write_bytes(value)
            if not (self.folder / key).is_symlink():
                (self.folder / key).symlink_to(Path("..data") / key)
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").replace(data)
        if before is not None:
            shutil.rmtree(before)


@contextmanager
def mounted_secret(namespace: str, secret: str, folder: Path) -> Iterator[Volume]:
    """The Secret of the cluster in KUBECONFIG, watched and written into ``folder`` until the end."""
    kubectl = _program("kubectl", "to read the Secret")
    command = [kubectl, "get", "secret", secret, "--namespace", namespace, "--output", "json", "--watch"]
    volume, first = Volume(folder), threading.Event()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def follow() -> None:
        assert process.stdout is not None
        text, decoder, last = "", json.JSONDecoder(), None
        for line in process.stdout:
            text += line
            with contextlib.suppress(ValueError):
                found, end = decoder.raw_decode(text)
                text = text[end:].lstrip()
                values = {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
                if values != last:
                    volume.write(values)
                    last = values
                    first.set()

    thread = threading.Thread(target=follow, name="kubelet", daemon=True)
    thread.start()
    try:
        if not first.wait(_READY):
            raise SourceUnavailable(f"Secret {namespace}/{secret} did not come within {_READY:.0f} s")
        yield volume
    finally:
        process.terminate()
        process.wait()
        thread.join()
        if process.stdout is not None:
            process.stdout.close()


def force_sync(namespace: str, external_secret: str) -> None:
    """Ask External Secrets to refresh now, as its documentation says: an annotation that changes."""
    kubectl = _program("kubectl", "to annotate the ExternalSecret")
    note = f"force-sync={time.time_ns()}"
    command = [kubectl, "annotate", "externalsecret", external_secret, "--namespace", namespace, note, "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SourceUnavailable(f"ExternalSecret {namespace}/{external_secret}: {done.stderr.strip()}")


def external_secrets() -> list[tuple[str, str, str]]:
    """Namespace, name and target Secret of every ExternalSecret whose Secret has a username and a password."""
    kubectl = _program("kubectl", "to list ExternalSecrets")
    found = _json([kubectl, "get", "externalsecrets", "--all-namespaces", "--output", "json"])
    result = []
    for item in found.get("items", []):
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        generated = any("generatorRef" in (each.get("sourceRef") or {}) for each in item["spec"].get("dataFrom") or [])
        if generated:  # a lease per refresh: what force-sync rotates
            result.append((namespace, name, (item["spec"].get("target") or {}).get("name") or name))
    return result


TEMPLATE = """{{{{- with secret "{path}" -}}}}
export DB_USERNAME="{{{{ .Data.username }}}}"
export DB_PASSWORD="{{{{ .Data.password }}}}"
{{{{- end }}}}
"""


@contextmanager
def agent(path: str, folder: Path) -> Iterator[Path]:
    """Vault Agent (``vault`` or ``bao``) that renders the credential at ``path``; yields the file."""
    program = shutil.which("vault") or shutil.which("bao")
    if program is None:
        raise InvalidArgument("neither vault nor bao is in PATH: the agent's row needs one")
    target, token = folder / "db-creds", folder / "token"
    token.touch(mode=0o600)
    token.write_text(os.environ["VAULT_TOKEN"], encoding="utf-8")
    config = {
        "vault": {"address": os.environ["VAULT_ADDR"], "ca_cert": os.environ.get("VAULT_CACERT", "")},
        "auto_auth": {"method": [{"type": "token_file", "config": {"token_file_path": str(token)}}]},
        "template": [{"contents": TEMPLATE.format(path=path), "destination": str(target), "perms": "0600"}],
    }
    (folder / "agent.json").write_text(json.dumps(config), encoding="utf-8")
    log = folder / "agent.log"
    with log.open("wb") as output:
        command = [program, "agent", f"-config={folder / 'agent.json'}"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            until = time.monotonic() + _READY
            while not target.exists():
                if process.poll() is not None or time.monotonic() > until:
                    end = "\n".join(log.read_text(encoding="utf-8").splitlines()[-5:])
                    raise SourceUnavailable(f"the agent rendered nothing; the end of its log:\n{end}")
                time.sleep(0.05)
            yield target
        finally:
            process.terminate()
            process.wait()


def _program(name: str, purpose: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise InvalidArgument(f"{name} is not in PATH; it is needed {purpose}")
    return found


def _json(command: list[str]) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SourceUnavailable(f"{Path(command[0]).name}: {done.stderr.strip()}")
    return json.loads(done.stdout)
