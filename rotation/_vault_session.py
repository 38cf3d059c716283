"""One identity at Vault (or OpenBao): logged in, its token renewed, logged in again when the token cannot live longer."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotation import _clock, _redaction
from rotation.errors import InvalidArgument, SourceDenied, SourceError, SourceUnavailable

_TIMEOUT = 5.0
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


class VaultAuth(ABC):
    """How to get a token."""

    own_token: bool = True
    """Whether the token is made for this process, so that it may be revoked at the end."""

    @abstractmethod
    def login(self, client: Any) -> dict[str, Any]:
        """The ``auth`` part of a login's answer: client_token, lease_duration (seconds, 0: no end), renewable."""


@dataclass(frozen=True)
class VaultKubernetesAuth(VaultAuth):
    """Log in with the pod's service-account token, read anew at each login, as the kubelet replaces it.

    Args:
        role: the Kubernetes auth method's role.
        mount: where the method is mounted; default "kubernetes".
        token_file: the projected service-account token, with the audience that the role expects.
    """

    role: str
    mount: str = "kubernetes"
    token_file: str | Path = _SERVICE_ACCOUNT

    def login(self, client: Any) -> dict[str, Any]:
        try:
            token = Path(self.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SourceUnavailable(
                f"{self.token_file}: {error.strerror}; is the service-account token mounted?"
            ) from error
        answer = client.auth.kubernetes.login(role=self.role, jwt=token, use_token=False, mount_point=self.mount)
        auth: dict[str, Any] = answer["auth"]
        return auth


@dataclass(frozen=True)
class VaultTokenAuth(VaultAuth):
    """A token that somebody else made: given, in a file (an agent's sink, read again when refused), or VAULT_TOKEN.

    It is renewed where it can be, and never revoked.
    """

    token: str | None = field(default=None, repr=False)
    token_file: str | Path | None = None
    own_token = False

    def __post_init__(self) -> None:
        if self.token and self.token_file:
            raise InvalidArgument("token and token_file are both given; give one")

    def login(self, client: Any) -> dict[str, Any]:
        if self.token_file:
            try:
                token = Path(self.token_file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SourceUnavailable(f"{self.token_file}: {error.strerror}") from error
        else:
            token = self.token or os.environ.get("VAULT_TOKEN", "")
        if not token:
            raise InvalidArgument(
                "no Vault token; give token or token_file, set VAULT_TOKEN, or use VaultKubernetesAuth"
            )
        client.token = token
        try:
            data = client.auth.token.lookup_self()["data"]
        except _forbidden():  # revoked, or a policy without lookup-self; the next request tells which
            data = {}
        return {
            "client_token": token,
            "lease_duration": data.get("ttl", 0),
            "renewable": data.get("renewable", False),
        }


def _forbidden() -> type[Exception]:
    from hvac.exceptions import Forbidden

    kind: type[Exception] = Forbidden
    return kind


class VaultSession:
    """Requests with a token that lives. Not thread-safe: a Credentials calls its source from one thread at a time."""

    def __init__(
        self,
        auth: VaultAuth | None = None,
        *,
        address: str | None = None,
        ca_file: str | Path | None = None,
        namespace: str | None = None,
    ) -> None:
        self._auth = auth or VaultTokenAuth()
        self._options = (address, ca_file, namespace)
        self._client: Any = None
        self._began = self._ttl = 0.0
        self._renewable = False
        self._own_tokens: list[str] = []
        self.epoch = 0
        """Counts the logins: a lease dies with the token of its own login."""
        self.token_ends: float | None = None

    def ensure(self) -> None:
        """A token with most of its life ahead. Raises SourceError."""
        moment = _clock.now()
        if self.epoch == 0 or (self.token_ends is not None and moment >= self.token_ends):
            self._login()
        elif self.token_ends is not None and moment >= self._began + self._ttl / 3:
            if self._renewable and self._renew():
                return
            if self._auth.own_token or (isinstance(self._auth, VaultTokenAuth) and self._auth.token_file):
                self._login()

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises SourceDenied, SourceUnavailable. A refused token is replaced by a new login, once."""
        self.ensure()
        try:
            return self._send(method, path, body)
        except SourceDenied:
            if not self._auth.own_token and not getattr(self._auth, "token_file", None):
                raise
            self._login()
            return self._send(method, path, body)

    def close(self) -> None:
        """Revoke the tokens of this process's own logins, and with them whatever lease is left."""
        for token in self._own_tokens:
            try:
                self._client.token = token
                self._send("post", "auth/token/revoke-self", None)
            except SourceError:  # it has ended, or will by itself
                continue
        self._own_tokens.clear()
        if self._client is not None:
            self._client.adapter.close()

    def _login(self) -> None:
        auth = self._translated(lambda: self._auth.login(self._connected()))
        token = auth["client_token"]
        if self._client.token != token or self.epoch == 0:
            _redaction.register(token)
        self._client.token = token
        self.epoch += 1
        if self._auth.own_token:
            self._own_tokens.append(token)
        self._note(auth)

    def _renew(self) -> bool:
        """Whether the token lives on for most of its first life; False: it comes to its maximum."""
        first = self._ttl
        try:
            answer = self._send("post", "auth/token/renew-self", {"increment": f"{int(first)}s"})
        except SourceDenied:
            return False
        self._note(answer["auth"])
        enough = self._ttl >= first * 2 / 3
        if not enough:
            self._ttl = first  # what a whole life is
        return enough

    def _note(self, auth: dict[str, Any]) -> None:
        self._began = _clock.now()
        self._ttl = float(auth.get("lease_duration") or 0)
        self._renewable = bool(auth.get("renewable"))
        self.token_ends = self._began + self._ttl if self._ttl else None

    def _connected(self) -> Any:
        if self._client is None:
            import hvac

            address, ca_file, namespace = self._options
            self._client = hvac.Client(
                url=address or os.environ.get("VAULT_ADDR"),
                token="",
                verify=str(ca_file or os.environ.get("VAULT_CACERT") or "") or True,
                namespace=namespace or os.environ.get("VAULT_NAMESPACE"),
                timeout=_TIMEOUT,
            )
        return self._client

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        options = {} if body is None else {"json": body}
        answer = self._translated(lambda: self._connected().adapter.request(method, f"/v1/{path}", **options))
        return answer if isinstance(answer, dict) else {}

    @staticmethod
    def _translated(call: Any) -> Any:
        import requests
        from hvac import exceptions

        try:
            return call()
        except requests.RequestException as error:
            raise SourceUnavailable(f"vault: {type(error).__name__}") from error
        except exceptions.VaultError as error:
            text = _redaction.redact("; ".join(str(each) for each in error.errors or []) or type(error).__name__)
            if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
                raise SourceDenied(f"vault: permission denied: {text}") from error
            if isinstance(error, exceptions.InvalidRequest | exceptions.InvalidPath | exceptions.UnsupportedOperation):
                raise SourceDenied(f"vault: {type(error).__name__}: {text}") from error
            raise SourceUnavailable(f"vault: {type(error).__name__}: {text}") from error
