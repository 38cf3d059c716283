"""Functions (invokes): policy documents, and reading secrets."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import InvalidInput, VaultError
from sandbox.providers.vault.kv import canonical, real_path, texts
from sandbox.providers.vault.resource import Values, given

CAPABILITIES = frozenset(
    {"create", "read", "update", "delete", "list", "sudo", "deny", "patch", "subscribe", "recover"}
)


def _strings(items: list[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


def _parameters(rules: list[Mapping[str, Any]], property_: str) -> str:
    by_key: dict[str, list[str]] = {}
    for rule in rules:
        if rule["key"] in by_key:
            raise InvalidInput(property_, f"key {rule['key']!r} is given twice")
        by_key[rule["key"]] = rule.get("values") or []
    lines = "".join(f'    "{key}" = {_strings(by_key[key])}\n' for key in sorted(by_key))
    return f"{{\n{lines}  }}"


def render_rule(rule: Mapping[str, Any]) -> str:
    """One ``path`` block, to the byte as the real provider renders it (terraform-provider-vault, policy document)."""
    if not rule.get("path") or not rule.get("capabilities"):
        raise InvalidInput("rules", "each rule needs a path and its capabilities")
    if wrong := sorted(set(rule["capabilities"]) - CAPABILITIES):
        raise InvalidInput(
            "rules",
            f"no capability {', '.join(map(repr, wrong))} (path {rule['path']!r}); there are {', '.join(sorted(CAPABILITIES))}",
        )
    text = f"# {rule['description']}\n" if rule.get("description") else ""
    text += f'path "{rule["path"]}" {{\n  capabilities = {_strings(rule["capabilities"])}\n'
    for name, key in (("requiredParameters", "required_parameters"), ("subscribeEventTypes", "subscribe_event_types")):
        if rule.get(name):
            text += f"  {key} = {_strings(rule[name])}\n"
    for name, key in (("allowedParameters", "allowed_parameters"), ("deniedParameters", "denied_parameters")):
        if rule.get(name):
            text += f"  {key} = {_parameters(rule[name], f'rules.{name}')}\n"
    for name, key in (("minWrappingTtl", "min_wrapping_ttl"), ("maxWrappingTtl", "max_wrapping_ttl")):
        if rule.get(name):
            text += f'  {key} = "{rule[name]}"\n'
    return text + "}\n"


def policy_document(args: Values) -> Values:
    """vault:index/getPolicyDocument:getPolicyDocument; asks no server."""
    hcl = "\n".join(render_rule(rule) for rule in args.get("rules") or [])
    digest = hashlib.sha256(hcl.encode()).hexdigest()
    return {**args, "hcl": hcl, "id": digest[:16]}


def secret(client: VaultClient, args: Values) -> Values:
    """vault:generic/getSecret:getSecret: read any path."""
    path = given(args, "path")
    if not path:
        raise InvalidInput("path", "getSecret needs a path")
    real, versioned = real_path(client, path)
    params = {"version": str(args["version"])} if versioned and args.get("version") else None
    answer = client.read(real, params)
    if answer is None:
        raise VaultError(f"there is no secret at {path}")
    data = answer.get("data") or {}
    data = (data.get("data") or {}) if versioned else data
    return {
        **args,
        "id": path,
        "data": texts(data),
        "dataJson": canonical(data),
        "leaseDuration": answer.get("lease_duration") or 0,
        "leaseId": answer.get("lease_id") or "",
        "leaseRenewable": bool(answer.get("renewable")),
        "leaseStartTime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def secret_v2(client: VaultClient, args: Values) -> Values:
    """vault:kv/getSecretV2:getSecretV2."""
    for name in ("mount", "name"):
        if not given(args, name):
            raise InvalidInput(name, f"getSecretV2 needs {name}")
    path = f"{given(args, 'mount')}/data/{given(args, 'name')}"
    answer = client.read(path, {"version": str(args["version"])} if args.get("version") else None)
    if answer is None:
        raise VaultError(f"there is no secret at {path}")
    data, metadata = answer["data"].get("data") or {}, answer["data"].get("metadata") or {}
    return {
        **args,
        "id": path,
        "path": path,
        "data": texts(data),
        "dataJson": canonical(data),
        "createdTime": metadata.get("created_time") or "",
        "customMetadata": metadata.get("custom_metadata") or {},
        "deletionTime": metadata.get("deletion_time") or "",
        "destroyed": bool(metadata.get("destroyed")),
        "version": metadata.get("version") or 0,
    }


POLICY_DOCUMENT = "vault:index/getPolicyDocument:getPolicyDocument"
READING: Mapping[str, Callable[[VaultClient, Values], Values]] = {
    "vault:generic/getSecret:getSecret": secret,
    "vault:kv/getSecretV2:getSecretV2": secret_v2,
}
SECRET_RESULTS = ("data", "dataJson")
