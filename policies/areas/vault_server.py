"""Vault as a whole: policies, tokens, the provider's connection, the audit device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from policies.data import Undecided, dig, duration, flag, items, loopback, opaque, text, texts
from policies.hcl import paths
from policies.rule import Options, Props, Resource, Rule, Severity, names, switch, ttl

POLICY = "vault:index/policy:Policy"
TOKEN = "vault:index/token:Token"  # noqa: S105 a type
PROVIDER = "pulumi:providers:vault"
AUDIT = "vault:index/audit:Audit"
MOUNTS = (
    "vault:*:Mount", "vault:*:AuthBackend", "vault:*:SecretBackend", "vault:*:SecretsMount", "vault:index/*SecretBackend",
    "vault:index/*AuthBackend", "vault:azure/backend:Backend", "vault:gcp/kmsSecretBackend:KmsSecretBackend",
    "vault:pkiSecret/*:*",
)  # fmt: skip
_HARDENING = "https://developer.hashicorp.com/vault/docs/concepts/production-hardening"
_EVERYTHING = re.compile(r"[+/]*\*+|\+(?:/\+)*")


def broad_policy(props: Props, options: Options) -> Iterator[str]:
    document = props.get("policy")
    if opaque(document):
        yield Undecided("policy")
    allowed = options.names("allowedSudoPaths")
    for index, (path, capabilities) in enumerate(paths(text(document))):
        granted = [found for found in capabilities if "deny" not in capabilities]
        if not granted:
            continue
        if _EVERYTHING.fullmatch(path):
            yield f"policy: path block {index} covers all of Vault"
        if "sudo" in granted and not any(fnmatchcase(path, pattern) for pattern in allowed):
            yield f"policy: path block {index} has the capability sudo"
        if not _EVERYTHING.fullmatch(path) and _raw(path.lstrip("/")):
            yield f"policy: path block {index} reads the storage below Vault's own access control"


def _raw(path: str) -> bool:
    """Whether the path takes in sys/raw: by name, by a ``+`` for a segment, or by a ``*`` at its end."""
    if re.match(r"(?:sys|\+)/raw(?:/|\*|$)", path):
        return True
    return any(
        re.fullmatch(re.escape(path.rstrip("*")).replace(r"\+", "[^/]+") + (".*" if path.endswith("*") else ""), raw)
        for raw in ("sys/raw", "sys/raw/core")
    )


def token(props: Props, options: Options) -> Iterator[str]:
    policies = props.get("policies")
    if opaque(policies) or any(opaque(item) for item in items(policies)):
        yield Undecided("policies")
    if "root" in texts(policies):
        yield "policies: it has the root policy"
    unread = [name for name in ("explicitMaxTtl", "ttl", "period") if opaque(props.get(name))]
    if unread:
        yield Undecided(unread[0])
        return
    limit = options.seconds("maxTtl")
    period = duration(props.get("period"))
    end = duration(props.get("explicitMaxTtl")) or (None if period else duration(props.get("ttl")))
    if not end:
        yield "ttl, explicitMaxTtl: it has no end, or is renewed for ever"
    elif end > limit:
        yield f"ttl, explicitMaxTtl: it lives longer than {limit:g} s"


def connection(props: Props, _: Options) -> Iterator[str]:
    address, skip = props.get("address"), props.get("skipTlsVerify")
    if loopback(text(address)):
        return
    if opaque(address):
        yield Undecided("address")
    elif text(address).lower().startswith("http://"):
        yield "address: tokens and secrets travel without TLS"
    if opaque(skip):
        yield Undecided("skipTlsVerify")
    elif flag(skip):
        yield "skipTlsVerify: anyone between could be Vault"


def audited(resources: Sequence[Resource], options: Options) -> Iterator[tuple[str, str]]:
    devices = [resource for resource in resources if resource.type == AUDIT]
    for device in devices:
        raw = dig(device.asked.get("options"), "log_raw")
        if opaque(raw):
            yield device.urn, Undecided("options")
        elif flag(raw):
            yield device.urn, "options.log_raw: secrets are written to the log as they are"
    managed = any(fnmatchcase(resource.type, pattern) for resource in resources for pattern in MOUNTS)
    if managed and not devices and not options.switch("declaredElsewhere"):
        yield "", "the stack mounts engines in Vault, and no audit device tells who used them"


RULES = (
    Rule(
        number=27, name="vault-policy-broad", title="No Vault policy covers everything, has sudo or reads raw storage",
        severity=Severity.CRITICAL, source=("NEW",), tags=("vault",), types=(POLICY,),
        remediation="Name the paths that the identity needs; leave sudo and sys/raw to a break-glass procedure.",
        link="https://developer.hashicorp.com/vault/docs/concepts/policies", check=broad_policy,
        options={"allowedSudoPaths": names((), "paths (with wildcards) on which sudo is accepted")},
    ),
    Rule(
        number=28, name="vault-token-bounded", title="No token has the root policy, or lives without an end",
        severity=Severity.CRITICAL, source=("Vault production hardening",), tags=("vault",), types=(TOKEN,),
        remediation="Log in with an auth method instead; else give policies, and explicitMaxTtl.", link=_HARDENING,
        check=token, options={"maxTtl": ttl("24h", "the longest life of a token")},
    ),
    Rule(
        number=29, name="vault-connection-tls", title="Vault is reached over verified TLS", severity=Severity.HIGH,
        source=("Vault production hardening",), tags=("vault", "tls"), types=(PROVIDER,),
        remediation="Use an https address, and caCertFile instead of skipTlsVerify; this machine's loopback is excepted.",
        link=_HARDENING, check=connection,
    ),
    Rule(
        number=30, name="vault-audit", title="Vault writes an audit log, without raw values", severity=Severity.HIGH,
        source=("Vault production hardening",), tags=("vault", "audit"), types=(AUDIT, *MOUNTS),
        remediation="Add an Audit device without log_raw, or say declaredElsewhere where Vault's own configuration has one.",
        link="https://developer.hashicorp.com/vault/docs/audit", check_stack=audited,
        options={
            "declaredElsewhere": switch(False, "whether Vault's operators declare the audit device, not this stack")
        },
    ),
)  # fmt: skip
