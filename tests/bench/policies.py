"""How fast the policies are: ``python -m tests.bench.policies [N]``, by default over 5,000 resources.

Prints microseconds a resource for each way, nothing in a cache: the rules alone on plain data, a whole exported state (read,
every rule, JSON out), and the pack's own process over the protocol, one resource after another and eight at once. A workload of
the stack has a secret with its key and rotation, IAM role and policy, Vault policy and login, store, ExternalSecret, Deployment
and ConfigMap.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from policies import iam_documents, state
from policies.configuration import Configuration
from policies.data import plain
from policies.evaluate import Evaluation
from policies.registry import RULES
from policies.rule import Resource
from sandbox.engine.analyzer import PolicyPacks

ROOT = Path(__file__).resolve().parent.parent.parent
COUNT = 5_000
ACCOUNT = "111122223333"
ISSUER = "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def workload(number: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The resources of one workload: (type, name, inputs)."""
    name = f"app-{number}"
    arn = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:production/{name}-??????"
    key = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/{number:08d}-0000-4000-8000-000000000000"
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": "sts.amazonaws.com",
                f"{ISSUER}:sub": f"system:serviceaccount:production:{name}",
            }
        },
    }
    read = {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": [arn]}
    decrypt = {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": key,
        "Condition": {"StringEquals": {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}},
    }
    metadata = {"name": name, "namespace": "production", "labels": {"app": name}}
    login = {"role": name, "mountPath": "kubernetes", "serviceAccountRef": {"name": name, "audiences": ["vault"]}}
    store = {"provider": {"vault": {"server": "https://vault.example.com:8200", "auth": {"kubernetes": login}}}}
    external = {
        "refreshInterval": "30m",
        "secretStoreRef": {"name": name},
        "target": {"name": name},
        "dataFrom": [{"extract": {"key": f"production/{name}"}}],
    }
    container = {"name": "app", "image": f"registry.example.com/{name}:v1", "env": [{"name": "LOG", "value": "info"}]}
    pod = {"serviceAccountName": name, "containers": [container]}
    yield "aws:kms/key:Key", name, {"enableKeyRotation": True, "deletionWindowInDays": 30}
    secret = {"name": f"production/{name}", "kmsKeyId": key, "tags": {"owner": "payments"}}
    yield "aws:secretsmanager/secret:Secret", name, secret
    yield "aws:secretsmanager/secretRotation:SecretRotation", name, {"rotationRules": {"automaticallyAfterDays": 30}}
    yield "aws:iam/role:Role", name, {"name": name, "assumeRolePolicy": document(trust)}
    yield "aws:iam/rolePolicy:RolePolicy", name, {"role": name, "policy": document(read, decrypt)}
    policy = f'path "secret/data/production/{name}" {{\n  capabilities = ["read"]\n}}\n'
    yield "vault:index/policy:Policy", name, {"name": name, "policy": policy}
    bound = {"boundServiceAccountNames": [name], "boundServiceAccountNamespaces": ["production"]}
    yield "vault:kubernetes/authBackendRole:AuthBackendRole", name, {**bound, "audience": "vault", "tokenTtl": 3600}
    yield "kubernetes:external-secrets.io/v1:SecretStore", name, {"metadata": metadata, "spec": store}
    yield "kubernetes:external-secrets.io/v1:ExternalSecret", name, {"metadata": metadata, "spec": external}
    yield "kubernetes:core/v1:ConfigMap", name, {"metadata": metadata, "data": {"LOG_LEVEL": "info", "PORT": "8080"}}
    yield "kubernetes:apps/v1:Deployment", name, {"metadata": metadata, "spec": {"template": {"spec": pod}}}
    yield "kubernetes:core/v1:ServiceAccount", name, {"metadata": metadata}


def exported(count: int) -> dict[str, Any]:
    """A state of so many resources, as `pulumi stack export` writes it."""
    every = (one for number in range(count) for one in workload(number))
    entries = [
        {
            "urn": f"urn:pulumi:dev::bench::{kind}::{name}",
            "type": kind,
            "custom": True,
            "inputs": props,
            "outputs": props,
        }
        for kind, name, props in islice(every, count)
    ]
    return {"version": 3, "deployment": {"manifest": {}, "resources": entries}}


def timed(action: Callable[[], object]) -> float:
    """Seconds of the first run, with an empty cache of documents."""
    iam_documents._of_text.cache_clear()
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def rules_alone(resources: list[Resource]) -> tuple[float, float]:
    """Seconds of the resource rules and of the stack rules."""
    evaluation = Evaluation(RULES, Configuration(RULES))

    def each() -> None:
        for resource in resources:
            for _ in evaluation.resource(resource):
                pass

    return timed(each), timed(lambda: list(evaluation.stack(resources)))


def whole_state(content: dict[str, Any]) -> float:
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as folder:
        file = Path(folder) / "state.json"
        file.write_text(json.dumps(content), encoding="utf-8")

        def check() -> None:
            with redirect_stdout(io.StringIO()):
                state.main([str(file), "--format", "json"])

        return timed(check)


async def over_the_protocol(resources: list[Resource], at_once: int) -> float:
    packs = PolicyPacks()
    await packs.start([ROOT / "policies"], "bench", "dev", {}, environment=os.environ)
    try:
        waiting = iter(resources)

        async def work() -> None:
            for resource in waiting:
                await packs.analyze(
                    urn=resource.urn, type=resource.type, name=resource.name, properties=dict(resource.inputs)
                )

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return time.perf_counter() - began
    finally:
        await packs.close()


def measure(count: int) -> list[tuple[str, float]]:
    """Each way and its seconds."""
    content = exported(count)
    found = [resource for resource, _ in state.resources(content)]
    asked = [Resource(urn=item.urn, type=item.type, props=item.inputs, inputs=item.inputs) for item in found]
    each, stack = rules_alone(asked)
    return [
        ("properties made plain", timed(lambda: [plain(item.inputs) for item in asked])),
        (f"{sum(rule.check is not None for rule in RULES)} resource rules", each),
        (f"{sum(rule.check_stack is not None for rule in RULES)} stack rules", stack),
        ("exported state, file to JSON", whole_state(content)),
        ("pack's process, one at a time", asyncio.run(over_the_protocol(asked, 1))),
        ("pack's process, eight at once", asyncio.run(over_the_protocol(asked, 8))),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.policies")
    parser.add_argument("count", nargs="?", type=int, default=COUNT)
    count = parser.parse_args().count
    table = Table(title=f"Policies over {count:,} resources", title_justify="left")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    table.add_column("µs a resource", justify="right")
    for name, seconds in measure(count):
        table.add_row(name, f"{seconds:.2f}", f"{seconds / count * 1e6:,.1f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
