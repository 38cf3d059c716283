"""Secrets inside of the cluster: sealed, raw, in the environment, in a ConfigMap."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from policies.data import SECRET, UNKNOWN, Undecided, dig, flag, items, mapping, opaque, text
from policies.rule import Options, Props, Rule, Severity, names
from policies.secret_text import decoded, holds_secret, names_secret

SEALED = "kubernetes:bitnami.com/*:SealedSecret"
SECRETS = ("kubernetes:core/v1:Secret", "kubernetes:core/v1:SecretPatch")
CONFIG_MAP = ("kubernetes:core/v1:ConfigMap", "kubernetes:core/v1:ConfigMapPatch")
WORKLOADS = (
    "kubernetes:apps/*:Deployment", "kubernetes:apps/*:StatefulSet", "kubernetes:apps/*:DaemonSet", "kubernetes:apps/*:ReplicaSet",
    "kubernetes:apps/*:*Patch", "kubernetes:extensions/*:Deployment", "kubernetes:extensions/*:DaemonSet",
    "kubernetes:extensions/*:ReplicaSet", "kubernetes:batch/*:Job", "kubernetes:batch/*:CronJob", "kubernetes:batch/*:*Patch",
    "kubernetes:core/v1:Pod", "kubernetes:core/v1:PodPatch", "kubernetes:core/v1:PodTemplate",
    "kubernetes:core/v1:ReplicationController", "kubernetes:argoproj.io/*:Rollout", "kubernetes:serving.knative.dev/*:Service",
)  # fmt: skip
_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 a type
_SCOPE = "sealedsecrets.bitnami.com/cluster-wide"
_IN_ENVIRONMENT = "it looks like a secret, in the environment and in the manifest"
_IN_CONFIG_MAP = "it looks like a secret, and everyone who reads ConfigMaps can read it"
_GOOD = "https://kubernetes.io/docs/concepts/security/secrets-good-practices/"


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
    given = [props.get(name) for name in ("data", "stringData")]
    holds = any(opaque(found) or any(value not in (None, "") for value in mapping(found).values()) for found in given)
    if holds and not _listed(props, options.names("allowed")):
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
    elif props.get("template") is not None:
        yield "template.spec", dig(props.get("template"), "spec")
    else:
        yield "spec", spec


def _of_container(container: Any, path: str) -> Iterator[str]:
    if opaque(container):
        yield Undecided(path)
    for name, key in (("env", "valueFrom"), ("envFrom", "")):
        entries = dig(container, name)
        for index, entry in enumerate(items(entries)):
            place = f"{path}.{name}[{index}]" if isinstance(entries, list) else f"{path}.{name}"
            source = dig(entry, key) if key else entry
            if opaque(entry) or opaque(source):
                yield Undecided(place)
            elif dig(source, "secretKeyRef") is not None or (not key and dig(source, "secretRef") is not None):
                yield f"{place}: the secret is in the environment, which is inherited, dumped and never updated"
            elif key:
                yield from _literal(text(dig(entry, "name")), dig(entry, "value"), place, _IN_ENVIRONMENT)


def _literal(name: str, value: Any, place: str, message: str) -> Iterator[str]:
    """What to say of a value that stands in the manifest."""
    if value is UNKNOWN:
        if names_secret(name):
            yield Undecided(place)
    elif value is SECRET:
        yield f"{place}: {message}" if names_secret(name) else Undecided(place)
    elif holds_secret(name, text(value)):
        yield f"{place}: {message}"


def in_config_map(props: Props, _: Options) -> Iterator[str]:
    for name in ("data", "binaryData"):
        if opaque(props.get(name)):
            yield Undecided(name)
        for key, value in mapping(props.get(name)).items():
            found = decoded(value) if name == "binaryData" and isinstance(value, str) else value
            yield from _literal(key, found, f"{name}.{key}", _IN_CONFIG_MAP)


RULES = (
    Rule(
        number=46, name="sealed-secret-scope", title="A SealedSecret is sealed for its name and namespace", severity=Severity.HIGH,
        source=("NEW",), tags=("sealed-secrets",), types=(SEALED,),
        remediation="Seal it in the strict scope, or namespace-wide where it must be renamed.",
        link="https://github.com/bitnami-labs/sealed-secrets#scopes", check=cluster_wide,
    ),
    Rule(
        number=48, name="raw-secret", title="No Secret manifest holds a value", severity=Severity.HIGH,
        source=("Kyverno disallow-all-secrets",), tags=("kubernetes",), types=SECRETS,
        remediation="Deliver it with an ExternalSecret, a SealedSecret or Vault's agent.", link=_GOOD, check=raw,
        options={"allowed": names((), "NAMESPACE/NAME (with wildcards) of Secrets that may hold a value")},
    ),
    Rule(
        number=49, name="service-account-token-secret", title="No service account has a token without an end",
        severity=Severity.HIGH,
        source=("Kyverno",), tags=("kubernetes",), types=SECRETS,
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
