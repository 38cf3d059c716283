"""IAM: roles, policies, their attachment, OIDC providers."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.providers.aws.clients import Clients, absent, code
from sandbox.providers.aws.errors import AwsProviderError
from sandbox.providers.aws.policies import as_text, kept, same_policy
from sandbox.providers.aws.resource import (
    NAME_PREFIX,
    POLICY,
    TAGS,
    AwsResource,
    Values,
    changed_tags,
    shown_tags,
    tag_list,
    tag_map,
)
from sandbox.providers.tables import Field, Fields

MOST_VERSIONS = 5  # of a managed policy


class Role(AwsResource):
    """aws:iam/role:Role; its id is its name."""

    kind = "aws:iam/role:Role"
    autoname = 64
    outputs = ("arn", "createDate", "uniqueId", "tagsAll")
    fields: ClassVar[Fields] = {
        "assumeRolePolicy": POLICY,
        "description": Field(),
        "forceDetachPolicies": Field(shape="boolean", default=False),
        "maxSessionDuration": Field(shape="integer", default=3600),
        "name": Field(replaces=True),
        "namePrefix": NAME_PREFIX,
        "path": Field(default="/", replaces=True),
        "permissionsBoundary": Field(),
        "tags": TAGS,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("name") or "")

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        body: Values = {
            "RoleName": inputs["name"],
            "AssumeRolePolicyDocument": as_text(inputs["assumeRolePolicy"]),
            "Path": inputs["path"],
            "MaxSessionDuration": inputs["maxSessionDuration"],
            "Tags": tag_list(inputs.get("tagsAll")),
        }
        if inputs.get("description"):
            body["Description"] = inputs["description"]
        if inputs.get("permissionsBoundary"):
            body["PermissionsBoundary"] = inputs["permissionsBoundary"]
        try:
            aws.iam().create_role(**body)
        except Exception as error:
            live = self.read(aws, {"id": inputs["name"]}) if code(error) == "EntityAlreadyExists" else None
            same = ("path", "permissionsBoundary", "description")
            # One that an interrupted run made is the same in everything, and is taken over.
            if live is None or any((live.get(n) or "") != (inputs.get(n) or "") for n in same):
                raise
            if not same_policy(live["assumeRolePolicy"], inputs["assumeRolePolicy"]):
                raise
            if (live.get("tagsAll") or {}) != (inputs.get("tagsAll") or {}):
                raise
        return inputs["name"], self.computed(aws, inputs["name"], inputs)

    def read(self, aws: Clients, known: Values) -> Values | None:
        try:
            live = aws.iam().get_role(RoleName=known["id"])["Role"]
        except Exception as error:
            if absent(error):
                return None
            raise
        return {
            "id": live["RoleName"],
            "name": live["RoleName"],
            "arn": live["Arn"],
            "uniqueId": live["RoleId"],
            "createDate": f"{live['CreateDate']:%Y-%m-%dT%H:%M:%SZ}",
            "assumeRolePolicy": kept(live["AssumeRolePolicyDocument"], known.get("assumeRolePolicy")),
            "description": live.get("Description") or known.get("description"),
            "forceDetachPolicies": known.get("forceDetachPolicies", False),
            "maxSessionDuration": live.get("MaxSessionDuration") or 3600,
            "namePrefix": known.get("namePrefix"),
            "path": live["Path"],
            "permissionsBoundary": (live.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
            **shown_tags(tag_map(live.get("Tags")), known),
        }

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        iam, name = aws.iam(), new["id"]
        if not same_policy(old.get("assumeRolePolicy"), new["assumeRolePolicy"]):
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=as_text(new["assumeRolePolicy"]))
        if any(old.get(one) != new.get(one) for one in ("description", "maxSessionDuration")):
            iam.update_role(
                RoleName=name, Description=new.get("description") or "", MaxSessionDuration=new["maxSessionDuration"]
            )
        if old.get("permissionsBoundary") != new.get("permissionsBoundary"):
            if new.get("permissionsBoundary"):
                iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=new["permissionsBoundary"])
            else:
                iam.delete_role_permissions_boundary(RoleName=name)
        added, removed = changed_tags(old, new)
        if removed:
            iam.untag_role(RoleName=name, TagKeys=removed)
        if added:
            iam.tag_role(RoleName=name, Tags=tag_list(added))
        return self.computed(aws, name, new)

    def delete(self, aws: Clients, state: Values) -> None:
        iam, name = aws.iam(), state["id"]
        try:
            if state.get("forceDetachPolicies"):
                for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
                    iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                    iam.delete_role_policy(RoleName=name, PolicyName=policy)
            iam.delete_role(RoleName=name)
        except Exception as error:
            if not absent(error):
                raise


class Policy(AwsResource):
    """aws:iam/policy:Policy, a managed policy; its id is its ARN."""

    kind = "aws:iam/policy:Policy"
    autoname = 128
    outputs = ("arn", "attachmentCount", "policyId", "tagsAll")
    fields: ClassVar[Fields] = {
        "policy": POLICY,
        "description": Field(replaces=True),
        "name": Field(replaces=True),
        "namePrefix": NAME_PREFIX,
        "path": Field(default="/", replaces=True),
        "delayAfterPolicyCreationInMs": Field(shape="integer"),
        "tags": TAGS,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("name") or "")

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        body = {
            "PolicyName": inputs["name"],
            "PolicyDocument": as_text(inputs["policy"]),
            "Path": inputs["path"],
            "Tags": tag_list(inputs.get("tagsAll")),
        }
        if inputs.get("description"):
            body["Description"] = inputs["description"]
        try:
            arn = aws.iam().create_policy(**body)["Policy"]["Arn"]
        except Exception as error:
            if code(error) != "EntityAlreadyExists":
                raise
            account = aws.get("sts").get_caller_identity()["Account"]
            arn = f"arn:aws:iam::{account}:policy{inputs['path']}{inputs['name']}"
            live = self.read(aws, {"id": arn})
            if live is None or not same_policy(live["policy"], inputs["policy"]):
                raise
            if (live.get("tagsAll") or {}) != (inputs.get("tagsAll") or {}):
                raise
        return arn, self.computed(aws, arn, inputs)

    def read(self, aws: Clients, known: Values) -> Values | None:
        iam = aws.iam()
        try:
            live = iam.get_policy(PolicyArn=known["id"])["Policy"]
            version = iam.get_policy_version(PolicyArn=known["id"], VersionId=live["DefaultVersionId"])["PolicyVersion"]
        except Exception as error:
            if absent(error):
                return None
            raise
        return {
            "id": live["Arn"],
            "arn": live["Arn"],
            "name": live["PolicyName"],
            "namePrefix": known.get("namePrefix"),
            "path": live["Path"],
            "description": live.get("Description") or known.get("description"),
            "policyId": live["PolicyId"],
            "attachmentCount": live["AttachmentCount"],
            "policy": kept(version["Document"], known.get("policy")),
            **shown_tags(tag_map(live.get("Tags")), known),
        }

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        iam, arn = aws.iam(), new["id"]
        if not same_policy(old.get("policy"), new["policy"]):
            versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
            spare = sorted((one for one in versions if not one["IsDefaultVersion"]), key=lambda one: one["CreateDate"])
            if len(versions) >= MOST_VERSIONS:
                iam.delete_policy_version(PolicyArn=arn, VersionId=spare[0]["VersionId"])
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=as_text(new["policy"]), SetAsDefault=True)
        added, removed = changed_tags(old, new)
        if removed:
            iam.untag_policy(PolicyArn=arn, TagKeys=removed)
        if added:
            iam.tag_policy(PolicyArn=arn, Tags=tag_list(added))
        return self.computed(aws, arn, new)

    def delete(self, aws: Clients, state: Values) -> None:
        iam, arn = aws.iam(), state["id"]
        try:
            for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
            iam.delete_policy(PolicyArn=arn)
        except Exception as error:
            if not absent(error):
                raise


class RolePolicy(AwsResource):
    """aws:iam/rolePolicy:RolePolicy, an inline policy; its id is ROLE:NAME."""

    kind = "aws:iam/rolePolicy:RolePolicy"
    autoname = 128
    fields: ClassVar[Fields] = {
        "policy": POLICY,
        "role": Field(required=True, replaces=True),
        "name": Field(replaces=True),
        "namePrefix": NAME_PREFIX,
    }

    def identity(self, values: Values) -> str:
        return f"{values.get('role')}:{values.get('name')}"

    def from_id(self, resource_id: str) -> Values:
        role, colon, name = resource_id.partition(":")
        if not colon:
            raise AwsProviderError(f"{self.kind}: an id has the form ROLE:NAME, not {resource_id!r}")
        return {"id": resource_id, "role": role, "name": name}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        self._put(aws, inputs)
        return self.identity(inputs), {}

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        del old
        self._put(aws, new)
        return {}

    @staticmethod
    def _put(aws: Clients, values: Values) -> None:
        aws.iam().put_role_policy(
            RoleName=values["role"], PolicyName=values["name"], PolicyDocument=as_text(values["policy"])
        )

    def read(self, aws: Clients, known: Values) -> Values | None:
        try:
            live = aws.iam().get_role_policy(RoleName=known["role"], PolicyName=known["name"])
        except Exception as error:
            if absent(error):
                return None
            raise
        names = {name: known.get(name) for name in ("role", "name", "namePrefix")}
        return {**names, "policy": kept(live["PolicyDocument"], known.get("policy"))}

    def delete(self, aws: Clients, state: Values) -> None:
        try:
            aws.iam().delete_role_policy(RoleName=state["role"], PolicyName=state["name"])
        except Exception as error:
            if not absent(error):
                raise


class RolePolicyAttachment(AwsResource):
    """aws:iam/rolePolicyAttachment:RolePolicyAttachment; its id is ROLE/POLICY_ARN."""

    kind = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    fields: ClassVar[Fields] = {
        "policyArn": Field(required=True, replaces=True),
        "role": Field(required=True, replaces=True),
    }

    def identity(self, values: Values) -> str:
        return f"{values.get('role')}/{values.get('policyArn')}"

    def from_id(self, resource_id: str) -> Values:
        role, slash, arn = resource_id.partition("/")
        if not slash or not arn.startswith("arn:"):
            raise AwsProviderError(f"{self.kind}: an id has the form ROLE/POLICY_ARN, not {resource_id!r}")
        return {"id": resource_id, "role": role, "policyArn": arn}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        aws.iam().attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return self.identity(inputs), {}

    def read(self, aws: Clients, known: Values) -> Values | None:
        try:
            pages = aws.iam().get_paginator("list_attached_role_policies").paginate(RoleName=known["role"])
            attached = [one["PolicyArn"] for page in pages for one in page["AttachedPolicies"]]
        except Exception as error:
            if absent(error):
                return None
            raise
        found = {"role": known["role"], "policyArn": known["policyArn"]}
        return found if known["policyArn"] in attached else None

    def delete(self, aws: Clients, state: Values) -> None:
        try:
            aws.iam().detach_role_policy(RoleName=state["role"], PolicyArn=state["policyArn"])
        except Exception as error:
            if not absent(error):
                raise


def _same_url(one: Any, other: Any) -> bool:
    return str(one).removeprefix("https://").rstrip("/") == str(other).removeprefix("https://").rstrip("/")


class OpenIdConnectProvider(AwsResource):
    """aws:iam/openIdConnectProvider:OpenIdConnectProvider; its id is its ARN."""

    kind = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
    outputs = ("arn", "tagsAll")
    fields: ClassVar[Fields] = {
        "clientIdLists": Field(shape="set", required=True),
        "url": Field(required=True, replaces=True, same=_same_url),
        "thumbprintLists": Field(shape="list", computed=True),
        "tags": TAGS,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("url") or "").removeprefix("https://")

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        body = {
            "Url": inputs["url"],
            "ClientIDList": inputs["clientIdLists"],
            "ThumbprintList": inputs.get("thumbprintLists") or [],
            "Tags": tag_list(inputs.get("tagsAll")),
        }
        try:
            arn = aws.iam().create_open_id_connect_provider(**body)["OpenIDConnectProviderArn"]
        except Exception as error:
            if code(error) != "EntityAlreadyExists":
                raise
            account = aws.get("sts").get_caller_identity()["Account"]
            arn = f"arn:aws:iam::{account}:oidc-provider/{self.identity(inputs)}"
            live = self.read(aws, {"id": arn})
            if live is None or sorted(live["clientIdLists"]) != sorted(inputs["clientIdLists"]):
                raise
            if (live.get("tagsAll") or {}) != (inputs.get("tagsAll") or {}):
                raise
        return arn, self.computed(aws, arn, inputs)

    def read(self, aws: Clients, known: Values) -> Values | None:
        try:
            live = aws.iam().get_open_id_connect_provider(OpenIDConnectProviderArn=known["id"])
        except Exception as error:
            if absent(error):
                return None
            raise
        url = known.get("url")
        clients, before = live.get("ClientIDList") or [], known.get("clientIdLists")
        return {
            "arn": known["id"],
            "url": url if url and _same_url(url, live["Url"]) else f"https://{live['Url']}",
            "clientIdLists": before if before and sorted(before) == sorted(clients) else clients,
            "thumbprintLists": live.get("ThumbprintList") or [],
            **shown_tags(tag_map(live.get("Tags")), known),
        }

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        iam, arn = aws.iam(), new["id"]
        before, after = set(old.get("clientIdLists") or []), set(new["clientIdLists"])
        for one in sorted(after - before):
            iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID=one)
        for one in sorted(before - after):
            iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID=one)
        if new.get("thumbprintLists") is not None and old.get("thumbprintLists") != new["thumbprintLists"]:
            iam.update_open_id_connect_provider_thumbprint(
                OpenIDConnectProviderArn=arn, ThumbprintList=new["thumbprintLists"]
            )
        added, removed = changed_tags(old, new)
        if removed:
            iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=removed)
        if added:
            iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=tag_list(added))
        return self.computed(aws, arn, new)

    def delete(self, aws: Clients, state: Values) -> None:
        aws.iam().delete_open_id_connect_provider(OpenIDConnectProviderArn=state["id"])
