"""The part of a kubeconfig that a client needs: server, CA, client certificate or token, namespace."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.providers.kubernetes.errors import KubeconfigError


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """How to reach one API server. Its repr shows no credential."""

    server: str
    namespace: str  # of the context, else "default"
    ca: bytes | None = None  # PEM; None trusts what the system trusts
    client_certificate: bytes | None = None  # PEM
    client_key: bytes | None = None  # PEM
    token: str | None = None

    def __repr__(self) -> str:
        return f"Cluster(server={self.server!r}, namespace={self.namespace!r})"

    def ssl_context(self) -> ssl.SSLContext:
        """A context that trusts only the cluster's CA and presents the client certificate, if there is one."""
        context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        if self.client_certificate and self.client_key:
            # The ssl module loads certificates from files only: a private one, gone at once.
            with tempfile.TemporaryDirectory(prefix="strongroom-") as folder:
                pair = Path(folder) / "client.pem"
                with os.fdopen(os.open(pair, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(self.client_certificate + b"\n" + self.client_key)
                context.load_cert_chain(pair)
        return context


def load(kubeconfig: str | None = None, context: str | None = None, cluster: str | None = None) -> Cluster:
    """Read ``kubeconfig`` (a path, or the text of one; default ``$KUBECONFIG``, else ``~/.kube/config``).

    ``context`` and ``cluster`` choose among several, as the real provider's inputs of that name do.
    Raises KubeconfigError naming the file and the missing entry.
    """
    text, origin, folder = _text(kubeconfig)
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # The parser's message quotes the text, which may hold a key: say where, not what.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise KubeconfigError(f"kubeconfig {origin} is not YAML{where}") from None
    if not isinstance(config, dict):
        raise KubeconfigError(f"kubeconfig {origin} is neither a kubeconfig's text nor the path of one")
    name = context or config.get("current-context")
    if not name:
        raise KubeconfigError(f"kubeconfig {origin} has no current-context: set the provider's `context`")
    chosen = _entry(config, "contexts", "context", str(name), origin)
    server = _entry(config, "clusters", "cluster", cluster or chosen.get("cluster", ""), origin)
    user = _entry(config, "users", "user", chosen["user"], origin) if chosen.get("user") else {}
    if not server.get("server"):
        raise KubeconfigError(f"kubeconfig {origin}: cluster {chosen.get('cluster')!r} has no server")
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(
            f"kubeconfig {origin}: user {chosen['user']!r} logs in with a plugin; give it a client certificate or a token"
        )
    token = user.get("token")
    if not token and user.get("tokenFile"):
        token = (folder / user["tokenFile"]).read_text(encoding="utf-8").strip()
    return Cluster(
        server=str(server["server"]).rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        ca=_data(server, "certificate-authority", folder),
        client_certificate=_data(user, "client-certificate", folder),
        client_key=_data(user, "client-key", folder),
        token=token,
    )


def _text(kubeconfig: str | None) -> tuple[str, str, Path]:
    """The text, what to call it in an error, and the folder from which its relative paths start."""
    given = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if "\n" in given or given.lstrip().startswith("{"):
        return given, "(given as text)", Path.cwd()
    path = Path(given.split(os.pathsep)[0]).expanduser()
    try:
        return path.read_text(encoding="utf-8"), str(path), path.parent
    except OSError as error:
        raise KubeconfigError(
            f"kubeconfig {path} cannot be read ({error.strerror}): set the provider's `kubeconfig` or $KUBECONFIG"
        ) from None


def _entry(config: dict[str, Any], section: str, kind: str, name: str, origin: str) -> dict[str, Any]:
    entries = config.get(section) or []
    for entry in entries:
        if entry.get("name") == name:
            return entry.get(kind) or {}
    known = ", ".join(sorted(str(entry.get("name")) for entry in entries)) or "none"
    raise KubeconfigError(f"kubeconfig {origin} has no {kind} {name!r}; it has: {known}")


def _data(entry: dict[str, Any], key: str, folder: Path) -> bytes | None:
    if inline := entry.get(f"{key}-data"):
        return base64.b64decode(inline)
    if file := entry.get(key):
        return Path(folder / file).read_bytes()
    return None
