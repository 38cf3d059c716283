"""Secrets inside of the cluster: sealed, raw, in the environment, in a ConfigMap."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from policies.data import Undecided, dig, flag, items, mapping, opaque, text
from policies.rule import Options, Props, Rule, Severity, names

SEALED = "kubernetes:bitnami.com/*:SealedSecret"
SECRET = ("kubernetes:core/v1:Secret", "kubernetes:core/v1:SecretPatch")
CONFIG_MAP = ("kubernetes:core/v1:ConfigMap", "kubernetes:core/v1:ConfigMapPatch")
WORKLOADS = (
    "kubernetes:apps/*:Deployment", "kubernetes:apps/*:StatefulSet", "kubernetes:apps/*:DaemonSet", "kubernetes:apps/*:ReplicaSet",
    "kubernetes:batch/*:Job", "kubernetes:batch/*:CronJob", "kubernetes:core/v1:Pod", "kubernetes:core/v1:ReplicationController",
)  # fmt: skip
_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 a type
_SCOPE = "sealedsecrets.bitnami.com/cluster-wide"
_GOOD = "https://kubernetes.io/docs/concepts/security/secrets-good-practices/"

# Of a key's words, what holds a secret, and what only speaks of one.
_NAMES_SECRET = re.compile(
    r"passw(?:or)?d|passphrase|secret|token|api_?key|access_?key|private_?key|credentials?|dsn|connection_?string",
    re.IGNORECASE,
)
_SPEAKS_OF_IT = re.compile(
    r"(?:_|\b|(?<=[a-z]))(?:path|file|name|names|ref|url|uri|ttl|policy|length|type|id|dir|mount|role|audience|store|enabled|expiry|issuer|field|endpoint|version|period|interval)$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"\s*|\$\{[^}]*\}|\$\([^)]*\)|\{\{.*\}\}|/[\w./-]+|true|false|null|\d+", re.IGNORECASE | re.DOTALL
)
_LOOKS_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[0-9A-Za-z]{36}|\bxox[abprs]-[0-9A-Za-z-]{10,}"
    r"|\b(?:hv[sbr]|s)\.[0-9A-Za-z_-]{24,}|\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}|AGE-SECRET-KEY-1[0-9A-Z]{20,}"
    r"|[a-z][a-z0-9+]{1,20}://[^\s/:@]{1,64}:(?!\$|\{\{)[^\s/@]{1,128}@"
)


def cluster_wide(props: Props, _: Options) -> Iterator[str]:
    for path, metadata in (
        ("metadata", props.get("metadata")),
        ("spec.template.metadata", dig(props.get("spec"), "template", "metadata")),
    ):
        found = dig(metadata, "annotations", _SCOPE)
        if opaque(found):
            yield Undecided(f"{path}.annotations")
        elif flag(found):
            yield f"{path}.annotations: whoever may create objects in any namespace can open it there"


def raw(props: Props, options: Options) -> Iterator[str]:
    if text(props.get("type")) == _TOKEN_TYPE:
        return  # rule 49 is about it; the cluster itself writes the token
    if props.get("data") or props.get("stringData"):
        if _listed(props, options.names("allowed")):
            return
        yield "data: the value is in the program, the state and etcd; nothing rotates it"


def long_lived(props: Props, options: Options) -> Iterator[str]:
    if opaque(props.get("type")):
        yield Undecided("type")
    elif text(props.get("type")) == _TOKEN_TYPE and not _listed(props, options.names("allowed")):
        yield "type: the service account's token does not end"


def _listed(props: Props, allowed: list[str]) -> bool:
    namespace, name = (dig(props.get("metadata"), key) for key in ("namespace", "name"))
    place = f"{text(namespace) or 'default'}/{text(name)}"
    return isinstance(name, str) and any(fnmatchcase(place, pattern) for pattern in allowed)


def environment(props: Props, _: Options) -> Iterator[str]:
    for path, pod in _pods(props):
        if opaque(pod):
            yield Undecided(path)
        for kind in ("containers", "initContainers", "ephemeralContainers"):
            for index, container in enumerate(items(dig(pod, kind))):
                yield from _of_container(container, f"{path}.{kind}[{index}]")


def _pods(props: Props) -> Iterator[tuple[str, Any]]:
    spec = props.get("spec")
    if opaque(spec):
        yield "spec", spec
    elif dig(spec, "jobTemplate") is not None:
        yield "spec.jobTemplate.spec.template.spec", dig(spec, "jobTemplate", "spec", "template", "spec")
    elif dig(spec, "template") is not None:
        yield "spec.template.spec", dig(spec, "template", "spec")
    else:
        yield "spec", spec


def _of_container(container: Any, path: str) -> Iterator[str]:
    if opaque(container):
        yield Undecided(path)
    for name, key in (("env", "valueFrom"), ("envFrom", "")):
        for index, entry in enumerate(items(dig(container, name))):
            place = f"{path}.{name}[{index}]"
            source = dig(entry, key) if key else entry
            if opaque(entry) or opaque(source):
                yield Undecided(place)
            elif dig(source, "secretKeyRef") is not None or (not key and dig(source, "secretRef") is not None):
                yield f"{place}: the secret is in the environment, which is inherited, dumped and never updated"


def in_config_map(props: Props, _: Options) -> Iterator[str]:
    for name in ("data", "binaryData"):
        if opaque(props.get(name)):
            yield Undecided(name)
        for key, value in mapping(props.get(name)).items():
            if opaque(value):
                if _named(key):
                    yield Undecided(f"{name}.{key}")
            elif (_named(key) and not _PLACEHOLDER.fullmatch(text(value)[:4096])) or _LOOKS_SECRET.search(
                text(value)[:65536]
            ):
                yield f"{name}.{key}: it looks like a secret, and everyone who reads ConfigMaps can read it"


def _named(key: str) -> bool:
    bare = key.replace("-", "_").replace(".", "_")[:256]
    return bool(_NAMES_SECRET.search(bare)) and not _SPEAKS_OF_IT.search(bare)


RULES = (
    Rule(
        number=46, name="sealed-secret-scope", title="A SealedSecret is sealed for its name and namespace", severity=Severity.HIGH,
        source=("NEW",), tags=("sealed-secrets",), types=(SEALED,),
        remediation="Seal it in the strict scope, or namespace-wide where it must be renamed.",
        link="https://github.com/bitnami-labs/sealed-secrets#scopes", check=cluster_wide,
    ),
    Rule(
        number=48, name="raw-secret", title="No Secret manifest holds a value", severity=Severity.HIGH,
        source=("Kyverno disallow-all-secrets",), tags=("kubernetes",), types=SECRET,
        remediation="Deliver it with an ExternalSecret, a SealedSecret or Vault's agent.", link=_GOOD, check=raw,
        options={"allowed": names((), "NAMESPACE/NAME (with wildcards) of Secrets that may hold a value")},
    ),
    Rule(
        number=49, name="service-account-token-secret", title="No service account has a token without an end",
        severity=Severity.HIGH,
        source=("Kyverno",), tags=("kubernetes",), types=SECRET,
        remediation="Use projected tokens or TokenRequest; list the reviewer of a Vault outside of the cluster in allowed.",
        link="https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets", check=long_lived,
        options={"allowed": names((), "NAMESPACE/NAME (with wildcards) of token Secrets that are accepted")},
    ),
    Rule(
        number=50, name="secret-in-environment", title="Secrets reach a container as files", severity=Severity.MEDIUM,
        source=("CKV_K8S_35",), tags=("kubernetes",), types=WORKLOADS,
        remediation="Mount the Secret as a volume, or let Vault's agent write it.", link=_GOOD, check=environment,
    ),
    Rule(
        number=51, name="secret-in-config-map", title="No ConfigMap holds a secret", severity=Severity.HIGH,
        source=("KSV-0109",), tags=("kubernetes",), types=CONFIG_MAP,
        remediation="Move the value to Vault or Secrets Manager; keep its path here.",
        link="https://kubernetes.io/docs/concepts/configuration/configmap/", check=in_config_map,
    ),
)  # fmt: skip
