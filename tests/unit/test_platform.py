"""A SecretPlatform: what all workloads share."""

from __future__ import annotations

from typing import Any

import pytest

from components.errors import ArgumentError
from components.platform import SecretPlatform
from tests.unit.test_workload import PLATFORM


def platform(**more: Any) -> Any:
    def program() -> None:
        SecretPlatform("platform", {**PLATFORM, **more})  # type: ignore[typeddict-item]

    return program


def test_vault_writes_an_audit_log_without_raw_values_unless_told_that_it_does_already(deploy: Any) -> None:
    device = deploy(platform()).one("Audit")
    assert device["type"] == "file"
    assert device["options"] == {"file_path": "stdout", "log_raw": "false"}
    assert deploy(platform(audit_file="/vault/audit.log")).one("Audit")["options"]["file_path"] == "/vault/audit.log"
    assert deploy(platform(audit_file="")).of("Audit") == []


def test_an_audit_file_that_vault_could_not_write_is_refused_by_name(deploy: Any) -> None:
    with pytest.raises(ArgumentError, match=r"audit_file: 'audit\.log' is neither"):
        deploy(platform(audit_file="audit.log"))
