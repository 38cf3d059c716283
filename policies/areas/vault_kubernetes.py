"""Logging in to Vault with a service account's token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.data import Undecided, dig, duration, items, opaque, texts, violations
from policies.rule import Options, Props, Rule, Severity, ttl

ROLE = "vault:kubernetes/authBackendRole:AuthBackendRole"
STORES = (
    "kubernetes:external-secrets.io/*:SecretStore",
    "kubernetes:external-secrets.io/*:ClusterSecretStore",
    "kubernetes:generators.external-secrets.io/*:VaultDynamicSecret",
)
_BOUNDS = ("tokenMaxTtl", "tokenExplicitMaxTtl")
_UNSET = "it is unset, so Vault's own default of 768 hours holds"
_DOCS = "https://developer.hashicorp.com/vault/docs/auth/kubernetes"


def bound(props: Props, _: Options) -> Iterator[str]:
    for name in ("boundServiceAccountNames", "boundServiceAccountNamespaces"):
        value = props.get(name)
        if opaque(value) or any(opaque(item) for item in items(value)):
            yield Undecided(name)
        elif any("*" in item or "?" in item for item in texts(value)):
            yield f"{name}: a wildcard lets service accounts log in that nobody named"
        elif not items(value) and not (name.endswith("spaces") and props.get("boundServiceAccountNamespaceSelector")):
            yield f"{name}: it is empty"


def audience(props: Props, _: Options) -> Iterator[str]:
    for path, place in _audiences(props):
        if opaque(place):
            yield Undecided(path)
        elif not place:
            yield f"{path}: it is unset, so a token that was made for another system logs in too"


def _audiences(props: Props) -> Iterator[tuple[str, Any]]:
    if "spec" not in props:  # Vault's side
        yield "audience", props.get("audience")
        return
    vault = dig(props.get("spec"), "provider", "vault")  # the operator's side: a store's, or a generator's
    path = "spec.provider.vault"
    if vault is None:
        vault, path = dig(props.get("spec"), "provider"), "spec.provider"
    for way in ("kubernetes", "jwt"):
        account = dig(vault, "auth", way, "serviceAccountRef")
        if opaque(account):
            yield f"{path}.auth.{way}.serviceAccountRef", account
        elif account is not None:
            yield f"{path}.auth.{way}.serviceAccountRef.audiences", dig(account, "audiences")
        elif way == "jwt":
            requested = dig(vault, "auth", way, "kubernetesServiceAccountToken")
            if isinstance(requested, dict) and "audiences" in requested:  # left out, it is "vault"
                yield f"{path}.auth.jwt.kubernetesServiceAccountToken.audiences", requested.get("audiences")


def lifetimes(props: Props, options: Options) -> Iterator[str]:
    if opaque(props.get("tokenPeriod")):
        yield Undecided("tokenPeriod")
    elif duration(props.get("tokenPeriod")) and not duration(props.get("tokenExplicitMaxTtl")):
        yield "tokenPeriod: a periodic token is renewed for ever"
    longest, life = _bound(props), duration(props.get("tokenTtl"))
    limit, life_limit = options.seconds("maxTokenMaxTtl"), options.seconds("maxTokenTtl")
    if longest is None:
        unread = any(opaque(props.get(name)) for name in _BOUNDS)
        yield Undecided("tokenMaxTtl") if unread else f"tokenMaxTtl: {_UNSET}"
    elif longest > limit:
        yield f"tokenMaxTtl: it is longer than {limit:g} s"
    if longest is not None and longest <= life_limit:
        return
    if opaque(props.get("tokenTtl")):
        yield Undecided("tokenTtl")
    elif not life:
        yield f"tokenTtl: {_UNSET if longest is None else 'it is unset, so a token lives as long as tokenMaxTtl says'}"
    elif life > life_limit:
        yield f"tokenTtl: it is longer than {life_limit:g} s"


def _bound(props: Props) -> float | None:
    """Seconds after which a token ends at the latest, renewed or not; None where nothing that can be read says so."""
    return min((found for name in _BOUNDS if (found := duration(props.get(name)))), default=None)


def shorter(props: Props, options: Options) -> Mapping[str, Any]:
    wrong = {str(found).partition(":")[0] for found in violations(lifetimes(props, options))}
    limits = {"tokenTtl": "maxTokenTtl", "tokenMaxTtl": "maxTokenMaxTtl"}
    return {name: options.seconds(limit) for name, limit in limits.items() if name in wrong}


RULES = (
    Rule(
        number=35, name="vault-kubernetes-bound", title="A login role names service accounts and namespaces",
        severity=Severity.CRITICAL, source=("NEW",), tags=("vault", "kubernetes"), types=(ROLE,),
        remediation="Name one service account and its namespace.", link=_DOCS, check=bound,
    ),
    Rule(
        number=36, name="vault-kubernetes-audience", title="Tokens for Vault carry Vault's audience", severity=Severity.HIGH,
        source=("NEW",), tags=("vault", "kubernetes", "external-secrets"), types=(ROLE, *STORES),
        remediation="Set audience on the role, and the same in serviceAccountRef.audiences of stores and generators.",
        link=_DOCS, check=audience,
    ),
    Rule(
        number=37, name="vault-kubernetes-token-ttl", title="A login's token is short-lived", severity=Severity.MEDIUM,
        source=("NEW",), tags=("vault", "kubernetes"), types=(ROLE,),
        remediation="Give tokenTtl and tokenMaxTtl, not shorter than the leases that the token holds.", link=_DOCS,
        check=lifetimes, remedy=shorter,
        options={
            "maxTokenTtl": ttl("4h", "the longest tokenTtl"),
            "maxTokenMaxTtl": ttl("24h", "the longest tokenMaxTtl"),
        },
    ),
)  # fmt: skip
