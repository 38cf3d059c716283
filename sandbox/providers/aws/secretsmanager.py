"""Secrets Manager: secrets and their values."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from sandbox.providers.aws.clients import Clients, absent, code
from sandbox.providers.aws.errors import AwsProviderError
from sandbox.providers.aws.policies import as_text, kept, same_policy
from sandbox.providers.aws.resource import (
    NAME_PREFIX,
    REGION,
    TAGS,
    AwsResource,
    Values,
    changed_tags,
    region_of,
    shown_tags,
    tag_list,
    tag_map,
)
from sandbox.providers.tables import Field, Fields


def _same_replicas(one: Any, other: Any) -> bool:
    def plain(replicas: Any) -> list[tuple[str, str]]:
        return sorted((r["region"], r.get("kmsKeyId") or "alias/aws/secretsmanager") for r in replicas)

    return plain(one) == plain(other)


class Secret(AwsResource):
    """aws:secretsmanager/secret:Secret; its id is its ARN."""

    kind = "aws:secretsmanager/secret:Secret"
    autoname = 512
    outputs = ("arn", "tagsAll")
    fields: ClassVar[Fields] = {
        "description": Field(),
        "forceOverwriteReplicaSecret": Field(shape="boolean", default=False),
        "kmsKeyId": Field(),
        "name": Field(replaces=True),
        "namePrefix": NAME_PREFIX,
        "policy": Field(computed=True, same=same_policy),
        "recoveryWindowInDays": Field(shape="integer", default=30),
        "region": REGION,
        "replicas": Field(shape="list", computed=True, same=_same_replicas),
        "tags": TAGS,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("name") or "")

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        client = aws.secrets_manager(inputs)
        body: Values = {"Name": inputs["name"], "Tags": tag_list(inputs.get("tagsAll"))}
        for name, key in {"description": "Description", "kmsKeyId": "KmsKeyId"}.items():
            if inputs.get(name):
                body[key] = inputs[name]
        if inputs.get("replicas"):
            body["AddReplicaRegions"] = [_replica(one) for one in inputs["replicas"]]
            body["ForceOverwriteReplicaSecret"] = inputs["forceOverwriteReplicaSecret"]
        try:
            arn = client.create_secret(**body)["ARN"]
        except Exception as error:
            if code(error) != "ResourceExistsException":
                raise
            live = self.read(aws, {**inputs, "id": inputs["name"]})
            same = ("description", "kmsKeyId")
            # One that an interrupted run made is the same in everything, and is taken over.
            if live is None or any((live.get(n) or "") != (inputs.get(n) or "") for n in same):
                raise
            if (live.get("tagsAll") or {}) != (inputs.get("tagsAll") or {}):
                raise
            arn = live["arn"]
        self._policy(client, arn, None, inputs.get("policy"))
        return arn, self.computed(aws, arn, inputs)

    @staticmethod
    def _policy(client: Any, arn: str, old: Any, new: Any) -> None:
        if new and new not in ("{}", ""):
            if not same_policy(old, new):
                client.put_resource_policy(SecretId=arn, ResourcePolicy=as_text(new))
        elif old and new is not None:
            client.delete_resource_policy(SecretId=arn)

    def read(self, aws: Clients, known: Values) -> Values | None:
        client = aws.secrets_manager({**known, "region": known.get("region") or region_of(known["id"]) or None})
        try:
            live = client.describe_secret(SecretId=known["id"])
            policy = client.get_resource_policy(SecretId=known["id"]).get("ResourcePolicy")
        except Exception as error:
            if absent(error):
                return None
            raise
        if live.get("DeletedDate"):
            return None
        key, known_key = live.get("KmsKeyId"), known.get("kmsKeyId")
        result: Values = {
            "id": live["ARN"],
            "arn": live["ARN"],
            "name": live["Name"],
            "namePrefix": known.get("namePrefix"),
            "description": live.get("Description") or known.get("description"),
            "kmsKeyId": known_key
            if known_key and key and known_key.rpartition("/")[2] == key.rpartition("/")[2]
            else key,
            "policy": kept(policy, known.get("policy")) if policy else "",
            "region": region_of(live["ARN"]),
            "recoveryWindowInDays": known.get("recoveryWindowInDays", 30),
            "forceOverwriteReplicaSecret": known.get("forceOverwriteReplicaSecret", False),
            **shown_tags(tag_map(live.get("Tags")), known),
        }
        replicas = [
            {"region": one["Region"], "kmsKeyId": one.get("KmsKeyId")} for one in live.get("ReplicationStatus") or []
        ]
        before = known.get("replicas")
        result["replicas"] = before if before is not None and _same_replicas(before, replicas) else replicas
        return result

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        client, arn = aws.secrets_manager(new), new["id"]
        if any(old.get(name) != new.get(name) for name in ("description", "kmsKeyId")):
            body = {"SecretId": arn, "Description": new.get("description") or ""}
            # Without a key of its own it goes back to the account's.
            body["KmsKeyId"] = new.get("kmsKeyId") or "alias/aws/secretsmanager"
            if old.get("kmsKeyId") == new.get("kmsKeyId"):
                del body["KmsKeyId"]
            client.update_secret(**body)
        self._policy(client, arn, old.get("policy"), new.get("policy"))
        if new.get("replicas") is not None:
            before = {one["region"] for one in old.get("replicas") or []}
            after = {one["region"]: one for one in new["replicas"]}
            if gone := sorted(before - after.keys()):
                client.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=gone)
            if added := [_replica(after[region]) for region in sorted(after.keys() - before)]:
                client.replicate_secret_to_regions(
                    SecretId=arn,
                    AddReplicaRegions=added,
                    ForceOverwriteReplicaSecret=new["forceOverwriteReplicaSecret"],
                )
        added_tags, removed = changed_tags(old, new)
        if removed:
            client.untag_resource(SecretId=arn, TagKeys=removed)
        if added_tags:
            client.tag_resource(SecretId=arn, Tags=tag_list(added_tags))
        return self.computed(aws, arn, new)

    def delete(self, aws: Clients, state: Values) -> None:
        client, arn = aws.secrets_manager(state), state["id"]
        days = state.get("recoveryWindowInDays", 30)
        try:
            live = client.describe_secret(SecretId=arn)
            if live.get("DeletedDate"):
                return
            if replicas := [one["Region"] for one in live.get("ReplicationStatus") or []]:
                client.remove_regions_from_replication(SecretId=arn, RemoveReplicaRegions=replicas)
            if days == 0:
                client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
            else:
                client.delete_secret(SecretId=arn, RecoveryWindowInDays=days)
        except Exception as error:
            if not absent(error):
                raise


def _replica(one: Values) -> Values:
    return {"Region": one["region"], **({"KmsKeyId": one["kmsKeyId"]} if one.get("kmsKeyId") else {})}


class SecretVersion(AwsResource):
    """aws:secretsmanager/secretVersion:SecretVersion; its id is SECRET_ARN|VERSION_ID.

    The write-only value is sent when ``secretStringWoVersion`` changes, and never read back.
    """

    kind = "aws:secretsmanager/secretVersion:SecretVersion"
    outputs = ("arn", "secretArn", "versionId", "hasSecretStringWo")
    fields: ClassVar[Fields] = {
        "secretId": Field(required=True, replaces=True),
        "secretString": Field(secret=True, replaces=True),
        "secretBinary": Field(secret=True, replaces=True),
        "secretStringWo": Field(secret=True, silent=True),
        "secretStringWoVersion": Field(shape="integer", replaces=True),
        "versionStages": Field(shape="set", computed=True),
        "region": REGION,
    }

    def from_id(self, resource_id: str) -> Values:
        secret, bar, version = resource_id.partition("|")
        if not bar:
            raise AwsProviderError(f"{self.kind}: an id has the form SECRET_ARN|VERSION_ID, not {resource_id!r}")
        return {"id": resource_id, "secretId": secret, "versionId": version}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        body: Values = {"SecretId": inputs["secretId"]}
        if inputs.get("secretBinary") is not None:
            body["SecretBinary"] = base64.b64decode(inputs["secretBinary"])
        else:
            text = inputs.get("secretStringWo")
            body["SecretString"] = text if text is not None else inputs.get("secretString")
        if inputs.get("versionStages"):
            body["VersionStages"] = inputs["versionStages"]
        made = aws.secrets_manager(inputs).put_secret_value(**body)
        resource_id = f"{made['ARN']}|{made['VersionId']}"
        outputs = {
            "arn": made["ARN"],
            "secretArn": made["ARN"],
            "versionId": made["VersionId"],
            "versionStages": sorted(made["VersionStages"]),
            "region": region_of(made["ARN"]),
            "hasSecretStringWo": inputs.get("secretStringWo") is not None,
        }
        return resource_id, outputs

    def read(self, aws: Clients, known: Values) -> Values | None:
        secret, _, version = known["id"].partition("|")
        client = aws.secrets_manager(known)
        # With a write-only value the value itself is left where it is: its version is enough.
        write_only = bool(known.get("hasSecretStringWo") or known.get("secretStringWoVersion") is not None)
        try:
            live = client.describe_secret(SecretId=secret)
            stages = (live.get("VersionIdsToStages") or {}).get(version)
            if not stages or live.get("DeletedDate"):
                return None  # no label: deprecated, another value took its place
            value = {} if write_only else client.get_secret_value(SecretId=secret, VersionId=version)
        except Exception as error:
            if absent(error):
                return None
            raise
        result: Values = {
            "secretId": known.get("secretId", secret),
            "arn": live["ARN"],
            "secretArn": live["ARN"],
            "versionId": version,
            "versionStages": self._stages(stages, known),
            "region": region_of(live["ARN"]),
            "hasSecretStringWo": write_only,
            "secretStringWoVersion": known.get("secretStringWoVersion"),
        }
        if "SecretString" in value:
            result["secretString"] = value["SecretString"]
        if "SecretBinary" in value:
            result["secretBinary"] = base64.b64encode(value["SecretBinary"]).decode()
        return result

    @staticmethod
    def _stages(stages: list[str], known: Values) -> list[str]:
        before = known.get("versionStages")
        return before if before and sorted(before) == sorted(stages) else sorted(stages)

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        """Only the labels can change in place."""
        secret, _, version = new["id"].partition("|")
        client = aws.secrets_manager(new)
        wanted = set(new.get("versionStages") or old.get("versionStages") or [])
        live = client.describe_secret(SecretId=secret).get("VersionIdsToStages") or {}
        for stage in sorted(wanted - set(live.get(version, []))):
            holder = next((one for one, stages in live.items() if stage in stages), None)
            body = {"RemoveFromVersionId": holder} if holder else {}
            client.update_secret_version_stage(SecretId=secret, VersionStage=stage, MoveToVersionId=version, **body)
        for stage in sorted(set(live.get(version, [])) - wanted - {"AWSCURRENT"}):
            client.update_secret_version_stage(SecretId=secret, VersionStage=stage, RemoveFromVersionId=version)
        kept_outputs = {name: old[name] for name in (*self.outputs, "region") if name in old}
        return {**kept_outputs, "versionStages": sorted(wanted)}

    def delete(self, aws: Clients, state: Values) -> None:
        """Take its labels away, which deprecates it; AWSCURRENT can only move, so a current value stays until the secret goes."""
        secret, _, version = state["id"].partition("|")
        client = aws.secrets_manager(state)
        try:
            live = client.describe_secret(SecretId=secret)
            if live.get("DeletedDate"):
                return
            for stage in (live.get("VersionIdsToStages") or {}).get(version, []):
                if stage != "AWSCURRENT":
                    client.update_secret_version_stage(SecretId=secret, VersionStage=stage, RemoveFromVersionId=version)
        except Exception as error:
            if not absent(error):
                raise
