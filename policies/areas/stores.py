"""Where External Secrets Operator reads from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.data import Undecided, dig, items, loopback, mapping, opaque, text, texts, walk
from policies.rule import Options, Props, Rule, Severity, names

STORE = "kubernetes:external-secrets.io/*:SecretStore"
CLUSTER_STORE = "kubernetes:external-secrets.io/*:ClusterSecretStore"
GENERATOR = "kubernetes:generators.external-secrets.io/*:VaultDynamicSecret"
_SECURITY = "https://external-secrets.io/latest/guides/security-best-practices/"
_THREATS = "https://external-secrets.io/latest/guides/threat-model/"
# A key that ends so holds an address, whatever the provider calls it: server, apiUrl, hostAPI, akeylessGWApiURL, vaultUrl.
_ADDRESS = re.compile(r"(?:url|urltemplate|uri|host|hostname|server|endpoint|address|domain|api)$", re.IGNORECASE)
_STATIC = re.compile(
    r"secretref|bearertoken|apitokenref|apikeyref|accesstokenref|authref|privatekey|universalauthcredentials",
    re.IGNORECASE,
)
_NO_LOGIN = ("tls", "caProvider")  # members that may name a Secret without logging in with it
_SOME_NAMESPACES = ("q7-zz", "0x9k")  # what matches both of them matches everything


def plain_http(props: Props, _: Options) -> Iterator[str]:
    provider = dig(props.get("spec"), "provider")
    if opaque(provider):
        yield Undecided("spec.provider")
    for path, key, value in walk(provider, "spec.provider"):
        if not _ADDRESS.search(key):
            continue
        if opaque(value):
            yield Undecided(path)
        elif text(value).lower().startswith("http://") and not loopback(text(value)):
            yield f"{path}: secrets travel without TLS"


def static_login(props: Props, _: Options) -> Iterator[str]:
    provider = dig(props.get("spec"), "provider")
    if opaque(provider):
        yield Undecided("spec.provider")
    found = ""
    for path, key, value in walk(provider, "spec.provider"):
        inside = path.split(".")[2:]
        if found and path.startswith(f"{found}."):
            continue  # one login is one mistake
        if opaque(value) and (len(inside) == 1 or inside[-1] == "auth" or inside[-2] == "auth"):
            yield Undecided(path)
        elif _static(key) and value and not _by_account(key, value) and not any(name in inside for name in _NO_LOGIN):
            found = path
            yield f"{path}: the operator logs in with a secret that does not end"


def _static(key: str) -> bool:
    return bool(_STATIC.fullmatch(key)) or key.lower().endswith("secretref")


def _by_account(key: str, value: Any) -> bool:
    """Whether it is Akeyless's ``authSecretRef`` with nothing but a service account in it."""
    login = dig(value, "kubernetesAuth")
    return (
        key == "authSecretRef" and list(mapping(value)) == ["kubernetesAuth"] and "serviceAccountRef" in mapping(login)
    )


def conditions(props: Props, _: Options) -> Iterator[str]:
    found = dig(props.get("spec"), "conditions")
    if opaque(found):
        yield Undecided("spec.conditions")
        return
    if not items(found):
        yield "spec.conditions: every namespace may use the store"
    for index, condition in enumerate(items(found)):
        limits = mapping(condition)
        selector = limits.get("namespaceSelector")
        if opaque(condition) or any(opaque(value) for value in limits.values()):
            yield Undecided(f"spec.conditions[{index}]")
        elif not (limits.get("namespaces") or limits.get("namespaceRegexes") or any(mapping(selector).values())) or any(
            map(_any_namespace, texts(limits.get("namespaceRegexes")))
        ):
            yield f"spec.conditions[{index}]: it holds for every namespace"


def _any_namespace(pattern: str) -> bool:
    try:
        found = re.compile(pattern[:256])
    except (re.error, RecursionError, OverflowError):
        return False
    return all(found.search(name) for name in _SOME_NAMESPACES)


def provider_allowed(props: Props, options: Options) -> Iterator[str]:
    provider = dig(props.get("spec"), "provider")
    if opaque(provider):
        yield Undecided("spec.provider")
    allowed = options.names("allowedProviders")
    if any(name not in allowed for name, block in mapping(provider).items() if block is not None):
        yield "spec.provider: it is not among the allowed ones"


RULES = (
    Rule(
        number=38, name="store-tls", title="A store is reached over TLS", severity=Severity.CRITICAL, source=("NEW",),
        tags=("external-secrets", "tls"), types=(STORE, CLUSTER_STORE, GENERATOR),
        remediation="Use an https address; this machine's loopback is excepted.", link=_SECURITY, check=plain_http,
    ),
    Rule(
        number=39, name="store-static-login", title="The operator logs in with short-lived tokens", severity=Severity.HIGH,
        source=("ESO threat model C03",), tags=("external-secrets",), types=(STORE, CLUSTER_STORE, GENERATOR),
        remediation="Use serviceAccountRef: Vault's Kubernetes auth, or IRSA.", link=_THREATS, check=static_login,
    ),
    Rule(
        number=40, name="cluster-store-conditions", title="A ClusterSecretStore names its namespaces", severity=Severity.HIGH,
        source=("ESO best practices",), tags=("external-secrets",), types=(CLUSTER_STORE,),
        remediation="Give conditions with namespaces or a namespaceSelector, or a SecretStore for each namespace.",
        link=_SECURITY, check=conditions,
    ),
    Rule(
        number=41, name="store-provider-allowed", title="A store's provider is an allowed one", severity=Severity.MEDIUM,
        source=("ESO's Kyverno sample",), tags=("external-secrets",), types=(STORE, CLUSTER_STORE),
        remediation="Use an allowed provider, or add it to allowedProviders.", link=_SECURITY, check=provider_allowed,
        options={"allowedProviders": names(("aws", "vault"), "names of providers, as the store's spec has them")},
    ),
)  # fmt: skip
