"""Annotations that make the Vault Agent Injector deliver secrets into a pod's file system, typed.

The result is what a pod template carries; the injector's webhook (vault-k8s) turns it into agent containers. No Kubernetes
Secret is made and nothing of a secret reaches etcd. Annotation names and their meaning:
https://developer.hashicorp.com/vault/docs/platform/k8s/injector/annotations

    inject("payment-api")
        .database("db-creds", role="app-readwrite", host="postgres.internal", database="myapp")
        .kv("app-config", path="production/payment-api")
        .annotations()

A renewable lease is renewed at two thirds of its life and replaced at its end; a static value is read every five minutes
unless ``static_interval`` says otherwise.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from components.durations import format_duration, parse_duration
from components.errors import ArgumentError
from components.vault.agent_templates import json_document, shell_exports

PREFIX = "vault.hashicorp.com/"
TOKEN_VOLUME = "vault-token"  # noqa: S105 - the volume's name
SECRETS_FOLDER = "/vault/secrets"
_NAME = re.compile(r"(?!file-)[a-z0-9]([a-z0-9._-]{0,39}[a-z0-9])?")
_FILE_PATH = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_FILE_MODE = re.compile(r"0[0-7]{3}")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
JOBS = ("Job", "CronJob")  # kinds of workloads whose pods end by themselves


# What the injector's init container runs (vault-k8s, agent-inject/agent/container_init_sidecar.go), told to stay.
_STAYS = (
    "echo ${VAULT_CONFIG?} | base64 -d > /home/vault/config.json "
    "&& vault agent -config=/home/vault/config.json -exit-after-auth=false"
)


class InjectionError(ArgumentError):
    """Annotations that would not do what they say; the message names the argument, what was expected and the fix."""


@dataclass(frozen=True)
class InjectedSecret:
    """One file that the agent renders. ``lease`` tells whether the value ends and is replaced (a dynamic credential)."""

    name: str
    path: str
    template: str
    lease: bool
    file: str | None = None
    mode: str | None = None
    command: str | None = None

    @property
    def target(self) -> str:
        """Where the application finds the file."""
        return f"{SECRETS_FOLDER}/{self.file or self.name}"


@dataclass(frozen=True)
class Injection:
    """What the agent of one pod does. Each method returns a new object; ``annotations()`` gives the result.

    Made by ``inject``.
    """

    role: str
    auth_path: str = "auth/kubernetes"
    address: str | None = None
    ca_cert: str | None = None
    tls_secret: str | None = None
    audience: str | None = None
    static_interval: str | None = None
    renewal_threshold: float | None = None
    max_backoff: str | None = None
    init_only_for: str | None = None
    native: bool = False
    revoke_on_shutdown: bool = True
    same_user: bool = False
    share_processes: bool = False
    secrets: tuple[InjectedSecret, ...] = field(default=())

    @property
    def before_start_only(self) -> bool:
        """Whether it renders once and leaves no sidecar."""
        return self.init_only_for is not None

    def database(
        self,
        name: str,
        *,
        role: str,
        host: str = "",
        database: str = "",
        port: int = 5432,
        ssl_mode: str = "",
        escape: bool = False,
        mount: str = "database",
        template: str | None = None,
        file: str | None = None,
        mode: str | None = None,
        command: str | None = None,
    ) -> "Injection":
        """A dynamic database credential as file ``name``: shell exports unless ``template`` is given.

        ``role``: the role of the database secrets engine at ``mount``. ``ssl_mode``: DATABASE_URL's ``sslmode``, such as
        ``verify-full``; none by default. ``escape``: write passwords of any characters right, where a password policy gives
        such. ``command`` runs in the agent's container after each rendering. Raises ArgumentError.
        """
        path = f"{mount}/creds/{role}"
        if template is None and not (host and database):
            raise InjectionError(
                f"host, database: the default template of {name!r} writes DATABASE_URL and needs both; "
                "give them, or a template of your own"
            )
        if template is None:
            template = shell_exports(path, host=host, database=database, port=port, ssl_mode=ssl_mode, escape=escape)
        return self._with(name, path, template, lease=True, file=file, mode=mode, command=command)

    def kv(
        self,
        name: str,
        *,
        path: str,
        mount: str = "secret",
        template: str | None = None,
        file: str | None = None,
        mode: str | None = None,
        command: str | None = None,
    ) -> "Injection":
        """A KV version 2 secret as file ``name``: one JSON object unless ``template`` is given.

        ``path``: below the mount, without ``data/`` (``production/payment-api``). Raises InjectionError.
        """
        if path.startswith("data/"):
            raise InjectionError(f"path: {path!r} holds the API's data/ part; give the secret's own path, {path[5:]!r}")
        full = f"{mount}/data/{path}"
        rendered = json_document(full) if template is None else template
        return self._with(name, full, rendered, lease=False, file=file, mode=mode, command=command)

    def secret(
        self,
        name: str,
        *,
        path: str,
        template: str,
        lease: bool,
        file: str | None = None,
        mode: str | None = None,
        command: str | None = None,
    ) -> "Injection":
        """Anything else in Vault as file ``name``, by a template of your own: a certificate, a cloud credential, a token.

        ``path``: the full path, with the mount. ``lease``: whether what is read ends and has to be replaced; it decides
        whether ``init_only`` is safe. Raises InjectionError.
        """
        return self._with(name, path, template, lease=lease, file=file, mode=mode, command=command)

    def _with(
        self,
        name: str,
        path: str,
        template: str,
        *,
        lease: bool,
        file: str | None,
        mode: str | None,
        command: str | None,
    ) -> "Injection":
        if not _NAME.fullmatch(name):
            raise InjectionError(
                f"name: {name!r} becomes a file name and the end of an annotation's name; use at most 41 lower-case letters, "
                "digits, '.', '_', '-', and not 'file-' at the beginning, which the injector takes for something else"
            )
        if any(secret.name == name for secret in self.secrets):
            raise InjectionError(f"name: {name!r} is given twice; each file needs a name of its own")
        if not _PATH.fullmatch(path):
            raise InjectionError(
                f"path: {path!r} is not a path in Vault; expected MOUNT/..., without spaces or wildcards"
            )
        if file is not None and (not _FILE_PATH.fullmatch(file) or {".", ".."} & set(file.split("/"))):
            raise InjectionError(
                f"file: {file!r} would leave {SECRETS_FOLDER}; expected a path below it, such as app/config.json"
            )
        if "{{" not in template:
            raise InjectionError(f"template: that of {name!r} reads nothing; expected {{{{ with secret ... }}}} in it")
        if mode is not None and not _FILE_MODE.fullmatch(mode):
            raise InjectionError(f'mode: {mode!r} is not a file mode; expected four octal digits such as "0440"')
        secret = InjectedSecret(name, path, template, lease, file, mode, command)
        for other in self.secrets:
            if other.target == secret.target:
                raise InjectionError(
                    f"file: {other.name!r} and {name!r} are both written to {secret.target}; rename one"
                )
        result = replace(self, secrets=(*self.secrets, secret))
        result.check_kind(self.init_only_for)
        return result

    def init_only(self, *, workload_kind: str) -> "Injection":
        """Render before the start and leave no sidecar (``agent-pre-populate-only``): nothing is renewed after that.

        Only for a Job, which ends before its lease does: with a dynamic secret any other ``workload_kind`` is refused.
        """
        if self.native:
            raise InjectionError("native_sidecar: init_only() leaves no sidecar; ask for one of the two")
        result = replace(self, init_only_for=workload_kind)
        result.check_kind(workload_kind)
        return result

    def check_kind(self, workload_kind: str | None) -> None:
        """Raise InjectionError where a workload of this kind would be left with credentials that nobody renews."""
        leased = [secret.name for secret in self.secrets if secret.lease]
        if self.before_start_only and workload_kind not in JOBS and leased:
            raise InjectionError(
                f"workload_kind: a {workload_kind} outlives its lease, and without the sidecar nothing renews "
                f"{', '.join(leased)}; leave init_only() out, or use it on a Job"
            )

    def annotations(self) -> dict[str, str]:
        """The annotations of the pod template, all strings, none secret."""
        if not self.secrets:
            raise InjectionError(f"secrets: nothing to inject for role {self.role!r}; add database(...) or kv(...)")
        result = {
            "agent-inject": "true",
            "role": self.role,
            "auth-path": self.auth_path,
            "agent-revoke-on-shutdown": _flag(self.revoke_on_shutdown),
        }
        optional = {
            "service": self.address,
            "ca-cert": self.ca_cert,
            "tls-secret": self.tls_secret,
            "template-static-secret-render-interval": self.static_interval,
            "template-lease-renewal-threshold": None
            if self.renewal_threshold is None
            else f"{self.renewal_threshold:g}",
            "auth-max-backoff": self.max_backoff,
            "agent-pre-populate-only": "true" if self.before_start_only or self.native else None,
            "agent-init-first": "true" if self.native else None,
            "agent-init-json-patch": json.dumps(self._native_patch()) if self.native else None,
            "agent-run-as-same-user": "true" if self.same_user or self.share_processes else None,
            "agent-share-process-namespace": "true" if self.share_processes else None,
        }
        if self.audience is not None:
            optional["agent-service-account-token-volume-name"] = TOKEN_VOLUME
        result.update({key: value for key, value in optional.items() if value is not None})
        for secret in self.secrets:
            result[f"agent-inject-secret-{secret.name}"] = secret.path
            result[f"agent-inject-template-{secret.name}"] = secret.template
            result[f"error-on-missing-key-{secret.name}"] = "true"
            if secret.file is not None:
                result[f"agent-inject-file-{secret.name}"] = secret.file
            if secret.mode is not None:
                result[f"agent-inject-perms-{secret.name}"] = secret.mode
            if secret.command is not None:
                result[f"agent-inject-command-{secret.name}"] = secret.command
        return {PREFIX + key: value for key, value in result.items()}

    def _native_patch(self) -> list[dict[str, object]]:
        """The changes to the injector's init container that make it a native sidecar.

        The injector has no option for it (https://github.com/hashicorp/vault-k8s/issues/620), but takes a JSON patch.
        The startup probe holds the application back until every file is there.
        """
        rendered = " && ".join(f"test -f {secret.target}" for secret in self.secrets)
        probe = {"exec": {"command": ["/bin/sh", "-c", rendered]}, "periodSeconds": 1, "failureThreshold": 300}
        patch: list[dict[str, object]] = [
            {"op": "replace", "path": "/args/0", "value": _STAYS},
            {"op": "add", "path": "/restartPolicy", "value": "Always"},
            {"op": "add", "path": "/startupProbe", "value": probe},
        ]
        if self.revoke_on_shutdown:
            options = [f"-address={self.address}", *([f"-ca-cert={self.ca_cert}"] if self.ca_cert else []), "-self"]
            revoke = f"sleep 5 && vault token revoke {shlex.join(options)}"
            hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", revoke]}}}
            patch.append({"op": "add", "path": "/lifecycle", "value": hook})
        return patch

    def volumes(self) -> list[dict[str, object]]:
        """The pod's volumes that the annotations refer to: the projected token, where ``audience`` is set."""
        if self.audience is None:
            return []
        token = {"audience": self.audience, "expirationSeconds": 3600, "path": "token"}
        return [{"name": TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}]

    def grants(self) -> Mapping[str, str]:
        """File name -> path in Vault that the role must be able to read."""
        return {secret.name: secret.path for secret in self.secrets}


def _duration(text: str | None, argument: str) -> str | None:
    """As Go reads it, which knows no days. Raises DurationError."""
    return None if text is None else format_duration(parse_duration(text, argument))


def _flag(value: bool) -> str:
    return "true" if value else "false"


def inject(
    role: str,
    *,
    auth_path: str = "auth/kubernetes",
    address: str | None = None,
    ca_cert: str | None = None,
    tls_secret: str | None = None,
    audience: str | None = None,
    static_interval: str | None = None,
    renewal_threshold: float | None = None,
    max_backoff: str | None = None,
    native_sidecar: bool = False,
    revoke_on_shutdown: bool = True,
    same_user: bool = False,
    share_processes: bool = False,
) -> Injection:
    """Begin the annotations of one pod.

    ``role``: the Kubernetes auth role in Vault. ``address``, ``ca_cert`` (a path in the agent's container, from
    ``tls_secret``): default to the injector's own. ``audience``: the agent logs in with a projected token for this audience
    instead of the pod's API token; add ``volumes()`` to the pod. ``static_interval``: how often static values are read
    again, ``"5m"`` by default. ``renewal_threshold``: the part of a non-renewable lease after which it is replaced, between
    0 and 1, 0.9 by default; for agents of Vault 1.16 or later (OpenBao's keeps to 0.9). ``max_backoff``: the longest pause
    between attempts to log in while Vault does not answer, ``"5m"`` by default. ``native_sidecar``: one init container with
    restartPolicy Always instead of init and sidecar, so a Job can end and nothing is read twice; needs Kubernetes 1.29, and
    ``address`` where ``revoke_on_shutdown`` is on. ``revoke_on_shutdown``: the agent revokes its token, and with it the
    leases, when the pod ends. ``same_user``: the agent runs as the pod's first container, which must say ``runAsUser``, so
    a file's mode can keep everybody else out. ``share_processes``: besides, the pod's containers see each other's
    processes, so a ``command`` can signal the application.

    Raises InjectionError.
    """
    if not role or "*" in role:
        raise InjectionError(f"role: expected the name of one Kubernetes auth role, got {role!r}")
    if not auth_path.startswith("auth/"):
        raise InjectionError(
            f'auth_path: {auth_path!r} is not an auth mount; expected "auth/..." such as "auth/kubernetes"'
        )
    if address is not None and not address.startswith("https://"):
        raise InjectionError(f"address: expected an https:// URL, got {address!r}")
    if audience is not None and not audience:
        raise InjectionError("audience: is empty; give the one that Vault's role names, or leave it out")
    if native_sidecar and revoke_on_shutdown and address is None:
        raise InjectionError(
            "address: a native sidecar revokes its token by itself and has to be told where; "
            "give Vault's address, or revoke_on_shutdown=False"
        )
    if ca_cert is not None and (not ca_cert.startswith("/") or " " in ca_cert):
        raise InjectionError(f"ca_cert: expected an absolute path in the agent's container, got {ca_cert!r}")
    if renewal_threshold is not None and not 0 < renewal_threshold < 1:
        raise InjectionError(f"renewal_threshold: expected a part between 0 and 1, got {renewal_threshold:g}")
    return Injection(
        role=role,
        auth_path=auth_path,
        address=address,
        ca_cert=ca_cert,
        tls_secret=tls_secret,
        audience=audience,
        static_interval=_duration(static_interval, "static_interval"),
        renewal_threshold=renewal_threshold,
        max_backoff=_duration(max_backoff, "max_backoff"),
        native=native_sidecar,
        revoke_on_shutdown=revoke_on_shutdown,
        same_user=same_user,
        share_processes=share_processes,
    )
