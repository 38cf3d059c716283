"""Vault as a whole: policies, tokens, the provider's connection, the audit device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from policies.data import Undecided, duration, flag, items, loopback, mapping, opaque, text, texts
from policies.hcl import paths
from policies.rule import Option, Options, Props, Resource, Rule, Severity, names, ttl

POLICY = "vault:index/policy:Policy"
TOKEN = "vault:index/token:Token"  # noqa: S105 a type
PROVIDER = "pulumi:providers:vault"
AUDIT = "vault:index/audit:Audit"
MOUNTS = (
    "vault:index/mount:Mount", "vault:index/authBackend:AuthBackend", "vault:database/secretsMount:SecretsMount",
    "vault:aws/secretBackend:SecretBackend", "vault:pkiSecret/*:*",
)  # fmt: skip
_HARDENING = "https://developer.hashicorp.com/vault/docs/concepts/production-hardening"
_EVERYTHING = re.compile(r"[+/]*\*|\+(?:/\+)*")


def broad_policy(props: Props, options: Options) -> Iterator[str]:
    document = props.get("policy")
    if opaque(document):
        yield Undecided("policy")
    allowed = options.names("allowedSudoPaths")
    for index, (path, capabilities) in enumerate(paths(text(document))):
        granted = [found for found in capabilities if found != "deny"]
        if not granted:
            continue
        if _EVERYTHING.fullmatch(path):
            yield f"policy: path block {index} covers all of Vault"
        if "sudo" in granted and not any(fnmatchcase(path, pattern) for pattern in allowed):
            yield f"policy: path block {index} has the capability sudo"
        if path.lstrip("/").startswith("sys/raw"):
            yield f"policy: path block {index} reads the storage below Vault's own access control"


def token(props: Props, options: Options) -> Iterator[str]:
    policies = props.get("policies")
    if opaque(policies) or any(opaque(item) for item in items(policies)):
        yield Undecided("policies")
    if "root" in texts(policies):
        yield "policies: it has the root policy"
    bounds = [props.get("explicitMaxTtl"), props.get("ttl")]
    if any(opaque(bound) for bound in bounds):
        yield Undecided("ttl")
        return
    limit = options.seconds("maxTtl")
    end = duration(bounds[0]) or (None if props.get("period") else duration(bounds[1]))
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
        if opaque(device.asked.get("options")):
            yield device.urn, Undecided("options")
        elif flag(mapping(device.asked.get("options")).get("log_raw")):
            yield device.urn, "options.log_raw: secrets are written to the log as they are"
    elsewhere = flag(options.names("declaredElsewhere")[0]) if options.names("declaredElsewhere") else False
    managed = any(fnmatchcase(resource.type, pattern) for resource in resources for pattern in MOUNTS)
    if managed and not devices and not elsewhere:
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
            "declaredElsewhere": Option(
                [], {"type": "array", "items": {"enum": ["true", "false"]}, "maxItems": 1},
                '["true"] where Vault\'s operators declare the audit device, not this stack',
            )
        },
    ),
)  # fmt: skip
