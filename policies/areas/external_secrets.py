"""What External Secrets Operator reads, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from policies.data import Undecided, dig, duration, items, mapping, opaque, text
from policies.rule import Options, Props, Resource, Rule, Severity, amount, names

SECRET = "kubernetes:external-secrets.io/*:ExternalSecret"  # noqa: S105 a type
GENERATOR = "kubernetes:generators.external-secrets.io/*:VaultDynamicSecret"
ROLE = "vault:database/secretBackendRole:SecretBackendRole"
DEFAULT_INTERVAL = 3600.0  # seconds, where an ExternalSecret has none
_LASTING = ("Password", "UUID", "SSHKey", "Fake")
ANY = ("kubernetes:external-secrets.io/*:*", "kubernetes:generators.external-secrets.io/*:*")
_API = "https://external-secrets.io/latest/api/externalsecret/"
_GENERATOR = "https://external-secrets.io/latest/api/generator/vault/"


def keys(spec: Any) -> Iterator[tuple[str, Any, Any]]:
    """(path, key, property) of everything that is read from a store."""
    for index, entry in enumerate(items(dig(spec, "data"))):
        reference = entry if opaque(entry) else dig(entry, "remoteRef")
        yield f"spec.data[{index}].remoteRef.key", dig(reference, "key"), dig(reference, "property")
    for index, entry in enumerate(items(dig(spec, "dataFrom"))):
        if opaque(entry) or dig(entry, "extract") is not None:
            yield f"spec.dataFrom[{index}].extract.key", dig(entry, "extract", "key"), None
        if dig(entry, "find") is not None:
            # A pattern that begins with ^ and a literal text is as good as a path.
            name = dig(entry, "find", "name", "regexp")
            anchored = name if opaque(name) else text(name)[1:] if text(name).startswith("^") else ""
            yield f"spec.dataFrom[{index}].find", dig(entry, "find", "path") or anchored, None


def generators(spec: Any) -> Iterator[Any]:
    """The references to generators whose credentials end; those of a password or a key make a value that stays."""
    for entry in items(dig(spec, "dataFrom")):
        reference = dig(entry, "sourceRef", "generatorRef")
        if reference is not None and text(dig(reference, "kind")) not in _LASTING:
            yield reference


def dynamic(key: object, namespace: object) -> bool:
    """Whether reading the key makes a new credential: MOUNT/creds/ROLE of Vault's engines, and aws/sts/ROLE.

    Below ``data/`` (the KV engine) and below the namespace's own prefix it is a name like any other.
    """
    parts = text(key).strip("/").split("/")
    if len(parts) < 3 or parts[1] == "data" or parts[0] == namespace or ":" in text(key):
        return False
    return "creds" in parts[1:-1] or parts[:2] == ["aws", "sts"]


def _dynamic_keys(props: Props) -> list[str]:
    namespace = dig(props.get("metadata"), "namespace")
    return [text(key).strip("/") for _, key, _ in keys(props.get("spec")) if dynamic(key, namespace)]


def own_prefix(props: Props, options: Options) -> Iterator[str]:
    namespace = dig(props.get("metadata"), "namespace")
    spec = props.get("spec")
    if opaque(spec) or opaque(namespace):
        yield Undecided("spec" if opaque(spec) else "metadata.namespace")
        return
    allowed = tuple(found.replace("{namespace}", text(namespace) or "default") for found in options.names("prefixes"))
    for path, key, _ in keys(spec):
        if opaque(key):
            yield Undecided(path)
        elif not text(key).rpartition(":secret:")[2].lstrip("/").startswith(allowed):
            yield f"{path}: the key is outside of the namespace's own prefix"


def refreshed(props: Props, _: Options) -> Iterator[str]:
    spec = props.get("spec")
    if opaque(spec):
        yield Undecided("spec")
        return
    if not _dynamic_keys(props) and not list(generators(spec)):
        if any(opaque(key) for _, key, _ in keys(spec)):
            yield Undecided("spec.data")
        return
    interval, policy = dig(spec, "refreshInterval"), dig(spec, "refreshPolicy")
    if text(policy) in ("CreatedOnce", "OnChange"):
        yield "spec.refreshPolicy: the credential is never read again, and ends"
    elif interval is not None and not opaque(interval) and not duration(interval):
        yield "spec.refreshInterval: it is 0, so the credential is never read again, and ends"
    elif opaque(interval) or opaque(policy):
        yield Undecided("spec.refreshInterval")


def below_lease(resources: Sequence[Resource], options: Options) -> Iterator[tuple[str, str]]:
    roles = {_role_path(role.asked): _lease(role.asked) for role in resources if role.type == ROLE}
    made = {
        (dig(found.asked.get("metadata"), "namespace"), dig(found.asked.get("metadata"), "name")): found
        for found in resources
        if found.type.endswith(":VaultDynamicSecret") and _hashable(found)
    }
    margin = options.number("marginPercent")
    part = max(0.0, 1 - margin / 100)
    for secret in resources:
        if not secret.type.startswith("kubernetes:external-secrets.io/") or not secret.type.endswith(":ExternalSecret"):
            continue
        spec = secret.asked.get("spec")
        given = dig(spec, "refreshInterval")
        interval = duration(given) if given is not None else DEFAULT_INTERVAL
        for path in _leases(secret, spec, made):
            lease = roles.get(text(path).strip("/")) if not opaque(path) else path
            if opaque(path) or opaque(lease) or (opaque(given) and lease is not None):
                yield secret.urn, Undecided("spec.refreshInterval")
            elif interval and isinstance(lease, float) and interval > lease * part:
                yield secret.urn, f"spec.refreshInterval: it leaves less than {margin:g} % of the lease for the rollout"


def _lease(role: Props) -> Any:
    """Seconds of the role's leases: its default TTL, cut by the maximum; None where both are Vault's own."""
    given = [role.get("defaultTtl"), role.get("maxTtl")]
    return next(filter(opaque, given), None) or min(filter(None, map(duration, given)), default=None)


def _hashable(generator: Resource) -> bool:
    return all(isinstance(dig(generator.asked.get("metadata"), key), str | None) for key in ("namespace", "name"))


def _role_path(role: Props) -> str:
    return f"{text(role.get('backend')).strip('/')}/creds/{text(role.get('name'))}"


def _leases(secret: Resource, spec: Any, made: dict[tuple[Any, Any], Resource]) -> Iterator[Any]:
    """The Vault paths of the credentials that the secret takes."""
    yield from _dynamic_keys(secret.asked)
    namespace = dig(secret.asked.get("metadata"), "namespace")
    for reference in generators(spec):
        name = dig(reference, "name")
        if isinstance(name, str) and isinstance(namespace, str | None):
            found = made.get((namespace, name))
            if found is not None:
                yield dig(found.asked.get("spec"), "path")
        elif opaque(name) or opaque(namespace):
            yield name if opaque(name) else namespace


def one_lease(props: Props, _: Options) -> Iterator[str]:
    spec = props.get("spec")
    if opaque(spec) or any(opaque(key) for _, key, _ in keys(spec)):
        yield Undecided("spec.data")
    found = _dynamic_keys(props)
    if len(found) != len(set(found)):
        yield "spec.data: two references to one dynamic path read two leases, so user name and password do not match"


def served(props: Props, _: Options) -> Iterator[str]:
    version = props.get("apiVersion")
    if opaque(version):
        yield Undecided("apiVersion")
    elif text(version) in ("external-secrets.io/v1beta1", "external-secrets.io/v1alpha1") and not _only_old(props):
        yield "apiVersion: the operator does not serve it since 0.17"


def _only_old(props: Props) -> bool:
    """PushSecret is served as v1alpha1 only."""
    return text(mapping(props).get("kind")) in ("PushSecret", "ClusterPushSecret")


RULES = (
    Rule(
        number=42, name="external-secret-prefix", title="A namespace reads below its own prefix", severity=Severity.MEDIUM,
        source=("Kyverno add-external-secret-prefix",), tags=("external-secrets",), types=(SECRET,),
        remediation="Keep the secret below NAMESPACE/, or add the prefix to prefixes.", link=_API, check=own_prefix,
        options={"prefixes": names(("{namespace}/",), "what a key may start with; {namespace} stands for the object's own")},
    ),
    Rule(
        number=43, name="external-secret-refreshed", title="A dynamic credential is read again", severity=Severity.HIGH,
        source=("NEW",), tags=("external-secrets", "vault"), types=(SECRET,),
        remediation="Give a refreshInterval below the lease's TTL, with the refreshPolicy Periodic.", link=_API, check=refreshed,
    ),
    Rule(
        number=44, name="external-secret-before-lease-ends", title="A dynamic credential is read again before it ends",
        severity=Severity.HIGH, source=("NEW",), tags=("external-secrets", "vault", "database"), types=(SECRET, GENERATOR, ROLE),
        remediation="Lower refreshInterval, or raise the role's defaultTtl: interval + rollout < lease.", link=_GENERATOR,
        check_stack=below_lease, options={"marginPercent": amount(20, "the part of the lease that is kept for the rollout")},
    ),
    Rule(
        number=54, name="external-secret-one-lease", title="User name and password come from one lease", severity=Severity.HIGH,
        source=("NEW",), tags=("external-secrets", "vault"), types=(SECRET,),
        remediation="Use one VaultDynamicSecret generator with dataFrom.sourceRef.generatorRef.", link=_GENERATOR, check=one_lease,
    ),
    Rule(
        number=55, name="external-secrets-api-version", title="External Secrets objects have a served version",
        severity=Severity.HIGH, source=("NEW",), tags=("external-secrets",), types=ANY,
        remediation="Write apiVersion external-secrets.io/v1; generators keep generators.external-secrets.io/v1alpha1.",
        link="https://github.com/external-secrets/external-secrets/releases/tag/v0.17.0", check=served,
    ),
)  # fmt: skip
