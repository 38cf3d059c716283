"""Secrets Manager's own check of a secret's resource policy, which moto takes as it comes."""

from __future__ import annotations

import json
from typing import Any

from sandbox.servers.aws.errors import AwsError
from sandbox.servers.aws.request import Request


def check_resource_policy(request: Request) -> None:
    """Raises AwsError for a policy that is no policy, or a public one where BlockPublicPolicy is set."""
    try:
        document = json.loads(str(request.parameters.get("ResourcePolicy", "")))
        statements = document["Statement"]
    except (ValueError, KeyError, TypeError):
        raise AwsError("MalformedPolicyDocumentException", "This resource policy contains invalid Json") from None
    for statement in statements if isinstance(statements, list) else [statements]:
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise AwsError(
                "MalformedPolicyDocumentException", "This resource policy contains a statement without a Principal"
            )
        if request.parameters.get("BlockPublicPolicy") and _public(statement):
            raise AwsError(
                "PublicPolicyException",
                "You can't attach a resource policy that allows broad access to your secret because BlockPublicPolicy is set.",
            )


def _public(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    names = principal.get("AWS") if isinstance(principal, dict) else principal
    everyone = names == "*" or (isinstance(names, list) and "*" in names)
    return everyone and statement.get("Effect") == "Allow" and not statement.get("Condition")
