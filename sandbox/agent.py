"""The injector's part of a pod, without the injector: from a pod template's annotations to a running ``bao agent``.

On a cluster the webhook (vault-k8s) reads the annotations and adds agent containers. It is in no package registry, and there is
no kubelet here, so the sandbox reads the same annotations and runs the agent that those containers would run, as a host
process: same templates, same paths below a folder that plays the pod's ``/vault/secrets``, logged in with a token of
the pod's own service account. What an annotation means is vault-k8s's documentation:
https://developer.hashicorp.com/vault/docs/platform/k8s/injector/annotations
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.process import die_with_parent
from sandbox.toolchain.paths import wheel_binary

PREFIX = "vault.hashicorp.com/"
SECRETS = "/vault/secrets"
DEFAULT_TEMPLATE = (
    '{{{{ with secret "{path}" }}}}{{{{ range $k, $v := .Data }}}}'
    "{{{{ $k }}}}: {{{{ $v }}}}\n{{{{ end }}}}{{{{ end }}}}"
)
# Annotations that only shape containers, of which there are none here.
CONTAINER_ONLY = (
    "agent-image", "agent-limits-", "agent-requests-", "agent-run-as-", "agent-set-security-context", "agent-init-first",
    "agent-inject-containers", "agent-inject-status", "agent-share-process-namespace", "agent-copy-volume-mounts",
    "agent-service-account-token-volume-name", "tls-secret", "log-level", "log-format", "agent-revoke-grace",
)  # fmt: skip


class AnnotationError(ValueError):
    """An annotation that the injector would not accept, or that has no meaning in the sandbox; the message names it."""


@dataclass(frozen=True)
class AgentConfig:
    """What the agent of one pod does.

    ``config``: its configuration. ``arguments``: what else stands on its command line. ``exits``: it ends once all is
    rendered. ``revokes``: its token is revoked when the pod ends.
    """

    config: Mapping[str, Any]
    files: tuple[Path, ...]
    arguments: tuple[str, ...]
    exits: bool
    revokes: bool


def agent_config(
    annotations: Mapping[str, str], *, folder: Path, address: str, ca_file: str, token_file: Path
) -> AgentConfig:
    """The configuration that the injector would write for a pod with these annotations.

    ``folder`` plays the pod's root: ``/vault/secrets/NAME`` is ``folder/vault/secrets/NAME``. Raises AnnotationError.
    """
    ours = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    if not asks_for_agent(annotations):
        raise AnnotationError(f'{PREFIX}agent-inject: expected "true"; the injector passes over every other pod')
    role = ours.get("role")
    if not role:
        raise AnnotationError(f"{PREFIX}role: missing; the agent cannot log in without it")
    templates: list[dict[str, Any]] = []
    files: list[Path] = []
    for name in _names(ours):
        path = ours.get(f"agent-inject-secret-{name}", "")
        volume = ours.get(f"secret-volume-path-{name}", ours.get("secret-volume-path", SECRETS))
        target = folder / volume.lstrip("/") / ours.get(f"agent-inject-file-{name}", name)
        template: dict[str, Any] = {
            "contents": ours.get(f"agent-inject-template-{name}", DEFAULT_TEMPLATE.format(path=path)),
            "destination": str(target),
            "create_dest_dirs": True,
            "error_on_missing_key": _flag(ours, f"error-on-missing-key-{name}"),
        }
        if f"agent-inject-perms-{name}" in ours:
            template["perms"] = ours[f"agent-inject-perms-{name}"]
        if f"agent-inject-command-{name}" in ours:
            template["exec"] = {"command": ["/bin/sh", "-c", ours[f"agent-inject-command-{name}"]]}
        templates.append(template)
        files.append(target)
    if not templates:
        raise AnnotationError(f"{PREFIX}agent-inject-secret-NAME: missing; there is nothing to render")
    _refuse_unknown(ours)
    init_only = _flag(ours, "agent-pre-populate-only")
    native = init_only and _stays(ours.get("agent-init-json-patch"))
    template_config: dict[str, Any] = {
        "exit_on_retry_failure": _flag(ours, "template-config-exit-on-retry-failure", default="true")
    }
    if interval := ours.get("template-static-secret-render-interval"):
        template_config["static_secret_render_interval"] = interval
    if threshold := ours.get("template-lease-renewal-threshold"):  # of Vault's agent; OpenBao's passes over it
        template_config["lease_renewal_threshold"] = float(threshold)
    method: dict[str, Any] = {
        "type": "kubernetes",
        "mount_path": ours.get("auth-path", "auth/kubernetes"),
        "config": {"role": role, "token_path": str(token_file)},
    }
    for key, option in (("auth-min-backoff", "min_backoff"), ("auth-max-backoff", "max_backoff")):
        if key in ours:
            method[option] = ours[key]
    config: dict[str, Any] = {
        "vault": {"address": ours.get("service", address), "ca_cert": ca_file},
        "auto_auth": {
            "method": method,
            "sink": [{"type": "file", "config": {"path": str(folder / "home/vault/.vault-token"), "mode": 0o600}}],
        },
        "template": templates,
        "template_config": template_config,
        "exit_after_auth": init_only,
    }
    return AgentConfig(
        config,
        tuple(files),
        arguments=("-exit-after-auth=false",) if native else (),
        exits=init_only and not native,
        revokes=_flag(ours, "agent-revoke-on-shutdown"),
    )


def asks_for_agent(annotations: Mapping[str, str]) -> bool:
    """Whether the injector would look at a pod with these annotations. Raises AnnotationError."""
    if annotations.get(f"{PREFIX}agent-inject-status") == "injected":
        return False
    return _flag({"agent-inject": annotations.get(f"{PREFIX}agent-inject", "")}, "agent-inject")


def _flag(ours: Mapping[str, str], key: str, default: str = "") -> bool:
    """A truth value as the injector reads it."""
    text = ours.get(key, default).lower()
    if text in ("true", "t", "1"):
        return True
    if text in ("false", "f", "0", ""):
        return False
    raise AnnotationError(f"{PREFIX}{key}: {text!r} is neither true nor false")


def _names(ours: Mapping[str, str]) -> list[str]:
    """What the files are called: each has a secret's path, or a template that needs none."""
    forms = ("agent-inject-secret-", "agent-inject-template-")
    keys = [(key, form) for key, value in ours.items() for form in forms if key.startswith(form) and value.strip()]
    return sorted({key.removeprefix(form) for key, form in keys})


def _stays(patch: str | None) -> bool:
    """Whether a JSON patch makes the init container a native sidecar: restarted always, and told not to exit."""
    if patch is None:
        return False
    try:
        operations = {operation["path"]: operation.get("value") for operation in json.loads(patch)}
    except (ValueError, TypeError, KeyError) as error:
        raise AnnotationError(f"{PREFIX}agent-init-json-patch: expected a JSON patch: a list of operations") from error
    return operations.get("/restartPolicy") == "Always" and "-exit-after-auth=false" in str(operations.get("/args/0"))


def _refuse_unknown(ours: Mapping[str, str]) -> None:
    known = {
        "agent-inject", "role", "auth-path", "service", "ca-cert", "secret-volume-path", "agent-revoke-on-shutdown",
        "template-static-secret-render-interval", "template-lease-renewal-threshold",
        "template-config-exit-on-retry-failure", "agent-pre-populate-only", "agent-pre-populate", "agent-init-json-patch",
        "auth-min-backoff", "auth-max-backoff",
    }  # fmt: skip
    per_secret = (
        "agent-inject-secret-", "agent-inject-template-", "agent-inject-file-", "agent-inject-perms-",
        "agent-inject-command-", "secret-volume-path-", "error-on-missing-key-",
    )  # fmt: skip
    for key in ours:
        understood = key in known or key.startswith((*per_secret, *CONTAINER_ONLY))
        if not understood or key.startswith("agent-inject-template-file-"):
            raise AnnotationError(f"{PREFIX}{key}: the sandbox does not know this annotation, and will not guess at it")


def start_agent(config: AgentConfig, folder: Path) -> subprocess.Popen[bytes]:
    """Start the agent of one pod; its log is ``folder/agent.log``. It ends with its parent. The caller stops it.

    Of the environment it sees only what a container would: no administrator's token, no proxy.
    """
    home = folder / "home/vault"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "agent.json"
    path.write_text(json.dumps(config.config, indent=2), encoding="utf-8")
    with (folder / "agent.log").open("ab") as log:
        return subprocess.Popen(
            [str(wheel_binary("bao")), "agent", f"-config={path}", *config.arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)},
            cwd=folder,
        )
