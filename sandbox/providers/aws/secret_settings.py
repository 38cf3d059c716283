"""Secrets Manager: a secret's resource policy and its rotation."""

from __future__ import annotations

import time
from typing import ClassVar

from sandbox.providers.aws.clients import Clients, absent, code
from sandbox.providers.aws.policies import as_text, kept
from sandbox.providers.aws.resource import POLICY, REGION, AwsResource, Values, region_of
from sandbox.providers.tables import Field, Fields

DELETION_TIMEOUT = 60.0  # seconds


class SecretPolicy(AwsResource):
    """aws:secretsmanager/secretPolicy:SecretPolicy; its id is the secret's ARN."""

    kind = "aws:secretsmanager/secretPolicy:SecretPolicy"
    fields: ClassVar[Fields] = {
        "policy": POLICY,
        "secretArn": Field(required=True, replaces=True),
        "blockPublicPolicy": Field(shape="boolean"),
        "region": REGION,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("secretArn") or "")

    def from_id(self, resource_id: str) -> Values:
        return {"id": resource_id, "secretArn": resource_id}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        body = {"SecretId": inputs["secretArn"], "ResourcePolicy": as_text(inputs["policy"])}
        if inputs.get("blockPublicPolicy") is not None:
            body["BlockPublicPolicy"] = inputs["blockPublicPolicy"]
        arn = aws.secrets_manager(inputs).put_resource_policy(**body)["ARN"]
        return arn, {"region": region_of(arn)}

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        del old
        return self.create(aws, new)[1]

    def read(self, aws: Clients, known: Values) -> Values | None:
        try:
            live = aws.secrets_manager(known).get_resource_policy(SecretId=known["secretArn"])
        except Exception as error:
            if absent(error):
                return None
            raise
        if not live.get("ResourcePolicy"):
            return None
        return {
            "secretArn": known["secretArn"],
            "policy": kept(live["ResourcePolicy"], known.get("policy")),
            "blockPublicPolicy": known.get("blockPublicPolicy"),
            "region": region_of(live["ARN"]),
        }

    def delete(self, aws: Clients, state: Values) -> None:
        try:
            aws.secrets_manager(state).delete_resource_policy(SecretId=state["secretArn"])
        except Exception as error:
            if not absent(error) and code(error) != "InvalidRequestException":  # marked for deletion
                raise


class SecretRotation(AwsResource):
    """aws:secretsmanager/secretRotation:SecretRotation; its id is the secret's ARN."""

    kind = "aws:secretsmanager/secretRotation:SecretRotation"
    outputs = ("rotationEnabled",)
    fields: ClassVar[Fields] = {
        "secretId": Field(required=True, replaces=True),
        "rotateImmediately": Field(shape="boolean", default=True),
        "rotationLambdaArn": Field(),
        "rotationRules": Field(
            shape="object",
            required=True,
            fields={
                "automaticallyAfterDays": Field(shape="integer"),
                "duration": Field(),
                "scheduleExpression": Field(),
            },
        ),
        "region": REGION,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("secretId") or "")

    def from_id(self, resource_id: str) -> Values:
        return {"id": resource_id, "secretId": resource_id}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        rules = inputs["rotationRules"]
        names = {
            "automaticallyAfterDays": "AutomaticallyAfterDays",
            "duration": "Duration",
            "scheduleExpression": "ScheduleExpression",
        }
        body: Values = {
            "SecretId": inputs["secretId"],
            "RotateImmediately": inputs["rotateImmediately"],
            "RotationRules": {key: rules[name] for name, key in names.items() if rules.get(name) is not None},
        }
        if inputs.get("rotationLambdaArn"):
            body["RotationLambdaARN"] = inputs["rotationLambdaArn"]
        arn = aws.secrets_manager(inputs).rotate_secret(**body)["ARN"]
        return arn, {"rotationEnabled": True, "region": region_of(arn)}

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        same = all(old.get(name) == new.get(name) for name in ("rotationLambdaArn", "rotationRules"))
        return {"rotationEnabled": True, "region": old.get("region")} if same else self.create(aws, new)[1]

    def read(self, aws: Clients, known: Values) -> Values | None:
        try:
            live = aws.secrets_manager(known).describe_secret(SecretId=known["id"])
        except Exception as error:
            if absent(error):
                return None
            raise
        if live.get("DeletedDate") or not live.get("RotationEnabled"):
            return None
        rules = live.get("RotationRules") or {}
        names = {
            "AutomaticallyAfterDays": "automaticallyAfterDays",
            "Duration": "duration",
            "ScheduleExpression": "scheduleExpression",
        }
        return {
            "secretId": known.get("secretId", live["ARN"]),
            "rotateImmediately": known.get("rotateImmediately", True),
            "rotationLambdaArn": live.get("RotationLambdaARN") or None,
            "rotationRules": {names[key]: value for key, value in rules.items() if key in names and value},
            "rotationEnabled": True,
            "region": region_of(live["ARN"]),
        }

    def delete(self, aws: Clients, state: Values) -> None:
        client = aws.secrets_manager(state)
        end = time.monotonic() + DELETION_TIMEOUT
        while True:
            try:
                client.cancel_rotate_secret(SecretId=state["id"])
            except Exception as error:
                if absent(error) or "marked" in str(error):
                    return
                if code(error) != "InvalidRequestException" or time.monotonic() > end:
                    raise
                time.sleep(0.5)  # a rotation runs: it ends by itself
            else:
                return
