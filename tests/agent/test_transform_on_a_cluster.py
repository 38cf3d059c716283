"""The transform, in both of Pulumi's kinds, on the embedded engine and a real API server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.vault.agent_injection import PREFIX
from tests.agent.platform import NAMESPACE, Platform
from tests.gitops.stack import Stack

pytestmark = pytest.mark.sandbox
PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s
from components.vault.agent_injection import inject
from components.vault.inject_transform import inject_transform

injection = inject("payment-api", audience="vault").kv("app-config", path="production/payment-api")

def deployment(name, **options):
    labels = {"app": name}
    k8s.apps.v1.Deployment(name, metadata={"name": name, "namespace": "agent-tests"}, spec={
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {
            "serviceAccountName": "payment-api", "containers": [{"name": "app", "image": "registry.example.com/app:1"}],
        }},
    }, opts=pulumi.ResourceOptions(**options))

def nightly(name, **options):
    k8s.batch.v1.CronJob(name, metadata={"name": name, "namespace": "agent-tests"}, spec={
        "schedule": "0 3 * * *", "suspend": True,
        "jobTemplate": {"spec": {"template": {"metadata": {}, "spec": {
            "serviceAccountName": "payment-api", "restartPolicy": "Never",
            "containers": [{"name": "app", "image": "registry.example.com/app:1"}],
        }}}},
    }, opts=pulumi.ResourceOptions(**options))

nightly("nightly-by-transformation", transformations=[inject_transform(injection)])
nightly("nightly-by-transform", transforms=[inject_transform(injection)])
deployment("by-transformation", transformations=[inject_transform(injection)])
deployment("by-transform", transforms=[inject_transform(injection)])
deployment("untouched")
"""


def test_both_kinds_of_transform_annotate_and_are_stable(agent_platform: Platform, tmp_path: Path) -> None:
    stack = Stack(tmp_path, PROGRAM, environment=agent_platform.environment(), providers=("kubernetes",))
    said = stack.up()
    assert stack.unchanged()
    jobs = json.loads(agent_platform.kubectl("get", "cronjobs", "-n", NAMESPACE, "-o", "json"))["items"]
    assert len(jobs) == 2
    for job in jobs:
        template = job["spec"]["jobTemplate"]["spec"]["template"]
        assert template["metadata"]["annotations"][f"{PREFIX}role"] == "payment-api"
        assert f"{job['metadata']['name']}: the agent's sidecar does not end" in said
    found = json.loads(agent_platform.kubectl("get", "deployments", "-n", NAMESPACE, "-o", "json"))["items"]
    templates = {item["metadata"]["name"]: item["spec"]["template"] for item in found}
    for name in ("by-transformation", "by-transform"):
        assert templates[name]["metadata"]["annotations"][f"{PREFIX}role"] == "payment-api"
        assert [volume["name"] for volume in templates[name]["spec"]["volumes"]] == ["vault-token"]
    assert "annotations" not in templates["untouched"]["metadata"]
    done = stack.run("destroy")
    assert done.returncode == 0, done.stdout + done.stderr
