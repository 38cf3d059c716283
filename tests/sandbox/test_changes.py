"""What a later run changes: nothing, that one role, that workload; and what it leaves when it fails or all is removed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.dev_stack import DevStack
from tests.sandbox.inventory import client, database_users, everything, in_aws, in_vault, leases, vault

pytestmark = pytest.mark.sandbox


def names_of(inventory: set[str]) -> set[str]:
    return {item.rpartition(" ")[0] if item.startswith("key ") else item for item in inventory}


def test_a_second_up_changes_nothing(dev: DevStack) -> None:
    before = everything(dev)
    run = dev.up()
    assert run.changed == {}
    assert set(run.summary["changes"]) == {"same"}
    assert everything(dev) == before


def test_a_second_up_keeps_the_rotated_root(dev: DevStack) -> None:
    before = vault(dev).read("database/config/myapp")["data"]
    dev.up()
    assert vault(dev).read("database/creds/app-readwrite")["data"]["username"]
    assert vault(dev).read("database/config/myapp")["data"] == before


def test_changing_a_ttl_updates_that_one_role(dev: DevStack) -> None:
    def longer(config: dict[str, Any]) -> None:
        config["strongroom:databaseRoles"][0]["maxTtl"] = "11m"

    run = dev.up(dev.changed_config(longer))
    assert run.changed == {"platform-database-app-readwrite": "update"}
    assert vault(dev).read("database/roles/app-readwrite")["data"]["max_ttl"] == 660


def test_removing_a_workload_removes_exactly_its_resources(dev: DevStack) -> None:
    before = everything(dev)
    run = dev.up(dev.changed_config(lambda config: config["strongroom:workloads"].pop()))
    assert run.changed
    assert set(run.changed.values()) == {"delete"}
    assert all(name.startswith("production-reports") for name in run.changed)
    after = everything(dev)
    assert after < before
    assert names_of(before - after) == {
        "Secret production/reports-config",
        "Secret production/reports-db",
        "Secret production/reports-keys",
        "ExternalSecret production/reports-config",
        "ExternalSecret production/reports-db",
        "ExternalSecret production/reports-keys",
        "SecretStore production/reports-aws",
        "SecretStore production/reports-vault",
        "VaultDynamicSecret production/reports-db",
        "ServiceAccount production/reports",
        "Role production/reports-token-creator",
        "RoleBinding production/reports-token-creator",
        "alias alias/production/reports",
        "iam role production-reports",
        "iam role production-reports policy read-secrets",
        "iam role production-reports policy read-secrets-keys",
        "key Encrypts the secret production/reports",
        "kv reports",
        "login role production-reports",
        "policy production-reports",
        "secret production/reports",
    }


def test_a_renamed_workload_keeps_its_values(dev: DevStack) -> None:
    stored = dev.secret("app-config"), dev.secret("partner-keys")

    def named(name: str, former: str) -> dict[str, Any]:
        def rename(config: dict[str, Any]) -> None:
            (payment,) = [each for each in config["strongroom:workloads"] if each["name"] == "payment-api"]
            payment.update(name=name, formerName=former)

        return dev.changed_config(rename)

    config = named("checkout", "payment-api")
    try:
        run = dev.up(config)
        assert "delete" not in run.summary["changes"]
        assert (dev.secret("app-config"), dev.secret("partner-keys")) == stored
        versions = vault(dev).secrets.kv.v2.read_secret_metadata("production/payment-api")["data"]["versions"]
        assert list(versions) == ["1"]
        found = in_vault(dev)
        assert {"login role production-checkout", "policy production-checkout"} <= found
        assert not {"login role production-payment-api", "policy production-payment-api"} & found
        assert dev.up(config).changed == {}
    finally:
        dev.up(named("payment-api", "checkout"))
    assert (dev.secret("app-config"), dev.secret("partner-keys")) == stored


def test_an_error_of_a_server_leaves_the_rest_deployed_and_is_told_with_the_server_s_words(dev: DevStack) -> None:
    before = everything(dev)
    secrets = client(dev, "secretsmanager")
    secrets.create_secret(Name="production/taken", SecretString="{}")
    taken = {
        "name": "clash",
        "namespace": "production",
        "secrets": [
            {"name": "clash-config", "kvPath": "production/clash", "generate": ["A"]},
            {"name": "clash-keys", "awsSecret": "production/taken", "generate": ["B"]},
        ],
    }
    config = dev.changed_config(lambda config: config["strongroom:workloads"].append(taken))
    try:
        run = dev.run("up", config)
        dev.dirty = True
        assert run.code == 1
        (failed,) = run.summary["failedSteps"]
        assert failed["urn"].endswith("::production-clash-clash-keys-value-secret")
        (error,) = [step["error"] for step in run.steps if "error" in step]
        assert "already exists" in error  # Secrets Manager's own message
        assert before <= everything(dev)
        assert dev.secret("db-creds")["username"]
    finally:
        secrets.delete_secret(SecretId="production/taken", ForceDeleteWithoutRecovery=True)
    again = dev.up(config)
    assert "production-clash-clash-keys-value-secret" in again.changed
    assert set(dev.secret("clash-keys")) == {"B"}
    dev.up()
    assert names_of(everything(dev)) == names_of(before)


def test_drift_is_found_by_refresh_and_put_right_by_up(dev: DevStack) -> None:
    vault(dev).delete("auth/kubernetes/role/production-payment-api")
    dev.dirty = True
    run = dev.run("refresh")
    assert run.code == 0, run.output
    assert "login role production-payment-api" not in in_vault(dev)
    run = dev.up()
    assert run.changed == {"production-payment-api-vault-role": "create"}
    assert "login role production-payment-api" in in_vault(dev)


def test_destroy_leaves_no_lease_user_mount_policy_role_or_object(dev: DevStack, empty_inventory: set[str]) -> None:
    assert leases(dev)
    assert len(database_users(dev)) > len([item for item in empty_inventory if item.startswith("user ")])
    dev.destroy()
    assert leases(dev) == []
    assert everything(dev) | database_users(dev) == empty_inventory
    assert not [item for item in in_aws(dev) if "production" in item]
