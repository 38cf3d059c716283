"""KMS: keys, aliases, key policies."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

from sandbox.providers.aws.clients import Clients, absent, code
from sandbox.providers.aws.policies import as_text, kept, same_policy
from sandbox.providers.aws.resource import (
    NAME_PREFIX,
    POLICY,
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
from sandbox.providers.resource_provider import URN
from sandbox.providers.tables import Field, Fields

ROTATION_DAYS = 365  # KMS's default
# A key has no name, so one that a killed run made and could not record is found again by this tag.
MADE_FOR = "strongroom-sandbox:made-for"
_PENDING = "PendingDeletion"


class Key(AwsResource):
    """aws:kms/key:Key; its id is the key's id."""

    kind = "aws:kms/key:Key"
    outputs = ("arn", "keyId", "tagsAll")
    fields: ClassVar[Fields] = {
        "bypassPolicyLockoutSafetyCheck": Field(shape="boolean", default=False),
        "customerMasterKeySpec": Field(default="SYMMETRIC_DEFAULT", replaces=True),
        "deletionWindowInDays": Field(shape="integer"),
        "description": Field(computed=True),
        "enableKeyRotation": Field(shape="boolean", computed=True),
        "isEnabled": Field(shape="boolean", default=True),
        "keyUsage": Field(
            default="ENCRYPT_DECRYPT",
            replaces=True,
            choices=("ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"),
        ),
        "multiRegion": Field(shape="boolean", computed=True, replaces=True),
        "policy": Field(computed=True, same=same_policy),
        "region": REGION,
        "rotationPeriodInDays": Field(shape="integer", computed=True),
        "tags": TAGS,
    }

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        client = aws.kms(inputs)
        shown = {name: value for name, value in inputs.items() if name != "tagsAll" and not name.startswith("__")}
        mark = hashlib.sha256(f"{inputs.get(URN)} {sorted(shown.items(), key=str)}".encode()).hexdigest()[:32]
        with aws.making_keys:  # two at once could take over the same one
            key_id = self._left_behind(aws, client, mark) if inputs.get(URN) else None
            if key_id is None:
                key_id = self._make(client, inputs, mark)
            aws.recorded_keys.add(key_id)
        self._settings(client, key_id, {}, inputs)
        return key_id, self.computed(aws, key_id, inputs)

    @staticmethod
    def _make(client: Any, inputs: Values, mark: str) -> str:
        body: Values = {
            "Description": inputs.get("description") or "",
            "KeyUsage": inputs["keyUsage"],
            "KeySpec": inputs["customerMasterKeySpec"],
            "MultiRegion": inputs.get("multiRegion") or False,
            "BypassPolicyLockoutSafetyCheck": inputs["bypassPolicyLockoutSafetyCheck"],
            "Tags": tag_list({**(inputs.get("tagsAll") or {}), MADE_FOR: mark}, "TagKey", "TagValue"),
        }
        if inputs.get("policy"):
            body["Policy"] = as_text(inputs["policy"])
        return str(client.create_key(**body)["KeyMetadata"]["KeyId"])

    @staticmethod
    def _left_behind(aws: Clients, client: Any, mark: str) -> str | None:
        for page in client.get_paginator("list_keys").paginate():
            for one in page["Keys"]:
                if one["KeyId"] in aws.recorded_keys:
                    continue
                tags = client.list_resource_tags(KeyId=one["KeyId"])["Tags"]
                if {"TagKey": MADE_FOR, "TagValue": mark} in tags:
                    meta = client.describe_key(KeyId=one["KeyId"])["KeyMetadata"]
                    if meta["KeyState"] != _PENDING:
                        return str(one["KeyId"])
        return None

    def _settings(self, client: Any, key_id: str, old: Values, new: Values) -> None:
        rotates, period = new.get("enableKeyRotation"), new.get("rotationPeriodInDays")
        before = (old.get("enableKeyRotation"), old.get("rotationPeriodInDays"))
        if rotates and (not before[0] or (period is not None and period != before[1])):
            client.enable_key_rotation(KeyId=key_id, **({"RotationPeriodInDays": period} if period else {}))
        elif rotates is False and before[0]:
            client.disable_key_rotation(KeyId=key_id)
        if new["isEnabled"] != old.get("isEnabled", True):
            (client.enable_key if new["isEnabled"] else client.disable_key)(KeyId=key_id)

    def read(self, aws: Clients, known: Values) -> Values | None:
        aws.recorded_keys.add(known["id"])  # it is in a state: nobody left it behind
        client = aws.kms(known)
        try:
            live = client.describe_key(KeyId=known["id"])["KeyMetadata"]
            if live["KeyState"] == _PENDING:
                return None
            policy = client.get_key_policy(KeyId=known["id"], PolicyName="default")["Policy"]
            tags = tag_map(client.list_resource_tags(KeyId=known["id"]).get("Tags"), "TagKey", "TagValue")
            symmetric = live["KeySpec"] == "SYMMETRIC_DEFAULT"
            rotation = client.get_key_rotation_status(KeyId=known["id"]) if symmetric else {}
        except Exception as error:
            if absent(error):
                return None
            raise
        tags.pop(MADE_FOR, None)
        rotates = bool(rotation.get("KeyRotationEnabled"))
        period = rotation.get("RotationPeriodInDays") or known.get("rotationPeriodInDays") or ROTATION_DAYS
        return {
            "id": live["KeyId"],
            "keyId": live["KeyId"],
            "arn": live["Arn"],
            "description": live.get("Description", ""),
            "keyUsage": live["KeyUsage"],
            "customerMasterKeySpec": live["KeySpec"],
            "isEnabled": live["Enabled"],
            "multiRegion": live.get("MultiRegion", False),
            "enableKeyRotation": rotates,
            "rotationPeriodInDays": period if rotates else None,
            "policy": kept(policy, known.get("policy")),
            "deletionWindowInDays": known.get("deletionWindowInDays"),
            "bypassPolicyLockoutSafetyCheck": known.get("bypassPolicyLockoutSafetyCheck", False),
            "region": region_of(live["Arn"]),
            **shown_tags(tags, known),
        }

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        client, key_id = aws.kms(new), new["id"]
        if not old.get("isEnabled", True) and new["isEnabled"]:
            client.enable_key(KeyId=key_id)
            old = {**old, "isEnabled": True}
        if new.get("description") is not None and old.get("description") != new["description"]:
            client.update_key_description(KeyId=key_id, Description=new["description"])
        if new.get("policy") and not same_policy(old.get("policy"), new["policy"]):
            client.put_key_policy(KeyId=key_id, PolicyName="default", Policy=as_text(new["policy"]))
        added, removed = changed_tags(old, new)
        if removed:
            client.untag_resource(KeyId=key_id, TagKeys=removed)
        if added:
            client.tag_resource(KeyId=key_id, Tags=tag_list(added, "TagKey", "TagValue"))
        self._settings(client, key_id, old, new)
        return self.computed(aws, key_id, new)

    def delete(self, aws: Clients, state: Values) -> None:
        """Schedule the deletion, as KMS does it: after 7 to 30 days (default)."""
        try:
            aws.kms(state).schedule_key_deletion(
                KeyId=state["id"], PendingWindowInDays=state.get("deletionWindowInDays") or 30
            )
        except Exception as error:
            if not absent(error) and "pending deletion" not in str(error):
                raise


def _same_key(one: Any, other: Any) -> bool:
    return bool(str(one).rpartition("/")[2] == str(other).rpartition("/")[2])


class Alias(AwsResource):
    """aws:kms/alias:Alias; its id is its name, which begins with ``alias/``."""

    kind = "aws:kms/alias:Alias"
    autoname = 256
    autoname_prefix = "alias/"
    outputs = ("arn", "targetKeyArn")
    fields: ClassVar[Fields] = {
        "name": Field(replaces=True),
        "namePrefix": NAME_PREFIX,
        "targetKeyId": Field(required=True, same=_same_key),
        "region": REGION,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("name") or "")

    def from_id(self, resource_id: str) -> Values:
        return {"id": resource_id, "name": resource_id}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        name = inputs["name"]
        try:
            aws.kms(inputs).create_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])
        except Exception as error:
            live = self.read(aws, {**inputs, "id": name}) if code(error) == "AlreadyExistsException" else None
            if live is None or not _same_key(live["targetKeyId"], inputs["targetKeyId"]):
                raise
        return name, self.computed(aws, name, inputs)

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        del old
        aws.kms(new).update_alias(AliasName=new["id"], TargetKeyId=new["targetKeyId"])
        return self.computed(aws, new["id"], new)

    def read(self, aws: Clients, known: Values) -> Values | None:
        pages = aws.kms(known).get_paginator("list_aliases").paginate()
        live = next((one for page in pages for one in page["Aliases"] if one["AliasName"] == known["id"]), None)
        if live is None or "TargetKeyId" not in live:
            return None
        prefix, target = live["AliasArn"].rpartition(":alias/")[0], known.get("targetKeyId")
        return {
            "name": live["AliasName"],
            "namePrefix": known.get("namePrefix"),
            "arn": live["AliasArn"],
            "targetKeyId": target if target and _same_key(target, live["TargetKeyId"]) else live["TargetKeyId"],
            "targetKeyArn": f"{prefix}:key/{live['TargetKeyId']}",
            "region": region_of(live["AliasArn"]),
        }

    def delete(self, aws: Clients, state: Values) -> None:
        try:
            aws.kms(state).delete_alias(AliasName=state["id"])
        except Exception as error:
            if not absent(error):
                raise


class KeyPolicy(AwsResource):
    """aws:kms/keyPolicy:KeyPolicy; its id is the key's id."""

    kind = "aws:kms/keyPolicy:KeyPolicy"
    fields: ClassVar[Fields] = {
        "keyId": Field(required=True, replaces=True),
        "policy": POLICY,
        "bypassPolicyLockoutSafetyCheck": Field(shape="boolean", default=False),
        "region": REGION,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("keyId") or "")

    def from_id(self, resource_id: str) -> Values:
        return {"id": resource_id, "keyId": resource_id}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        client = aws.kms(inputs)
        client.put_key_policy(KeyId=inputs["keyId"], PolicyName="default", Policy=as_text(inputs["policy"]))
        return inputs["keyId"], {"region": client.meta.region_name}

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        del old
        return self.create(aws, new)[1]

    def read(self, aws: Clients, known: Values) -> Values | None:
        client = aws.kms(known)
        try:
            if client.describe_key(KeyId=known["keyId"])["KeyMetadata"]["KeyState"] == _PENDING:
                return None
            live = client.get_key_policy(KeyId=known["keyId"], PolicyName="default")["Policy"]
        except Exception as error:
            if absent(error):
                return None
            raise
        names = ("keyId", "bypassPolicyLockoutSafetyCheck")
        told = {name: known.get(name) for name in names}
        return {**told, "policy": kept(live, known.get("policy")), "region": client.meta.region_name}

    def delete(self, aws: Clients, state: Values) -> None:
        """Back to the default policy, as the real provider does: a key cannot be without one."""
        client = aws.kms(state)
        try:
            arn = client.describe_key(KeyId=state["keyId"])["KeyMetadata"]["Arn"]
            root = f"arn:aws:iam::{arn.split(':')[4]}:root"
            statement = {"Sid": "Enable IAM User Permissions", "Effect": "Allow", "Principal": {"AWS": root}}
            default = {"Version": "2012-10-17", "Statement": [{**statement, "Action": "kms:*", "Resource": "*"}]}
            client.put_key_policy(KeyId=state["keyId"], PolicyName="default", Policy=as_text(default))
        except Exception as error:
            if not absent(error):
                raise
