"""EKS: clusters as far as identity goes, and Pod Identity associations."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.providers.aws.clients import Clients, absent, code
from sandbox.providers.aws.errors import AwsProviderError
from sandbox.providers.aws.resource import REGION, TAGS, AwsResource, Values, changed_tags, region_of, shown_tags
from sandbox.providers.tables import Field, Fields


class Cluster(AwsResource):
    """aws:eks/cluster:Cluster; its id is its name. The sandbox's API server plays every cluster."""

    kind = "aws:eks/cluster:Cluster"
    autoname = 100
    outputs = (
        "arn", "certificateAuthority", "clusterId", "createdAt", "endpoint", "identities", "platformVersion", "status",
        "tagsAll",
    )  # fmt: skip
    fields: ClassVar[Fields] = {
        "name": Field(replaces=True),
        "roleArn": Field(required=True, replaces=True),
        "vpcConfig": Field(
            shape="object",
            required=True,
            replaces=True,
            fields={
                "subnetIds": Field(shape="set", required=True),
                "securityGroupIds": Field(shape="set"),
                "endpointPrivateAccess": Field(shape="boolean"),
                "endpointPublicAccess": Field(shape="boolean"),
                "publicAccessCidrs": Field(shape="set", computed=True),
            },
        ),
        "version": Field(computed=True),
        "region": REGION,
        "tags": TAGS,
    }

    def identity(self, values: Values) -> str:
        return str(values.get("name") or "")

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        body: Values = {
            "name": inputs["name"],
            "roleArn": inputs["roleArn"],
            "resourcesVpcConfig": inputs["vpcConfig"],
            "tags": inputs.get("tagsAll") or {},
        }
        if inputs.get("version"):
            body["version"] = inputs["version"]
        aws.eks(inputs).create_cluster(**body)
        return inputs["name"], self.computed(aws, inputs["name"], inputs)

    def read(self, aws: Clients, known: Values) -> Values | None:
        live = described(aws, known["id"], known)
        if live is None:
            return None
        vpc = live.get("resourcesVpcConfig") or {}
        names = ("subnetIds", "securityGroupIds", "endpointPrivateAccess", "endpointPublicAccess", "publicAccessCidrs")
        return {
            **cluster_values(live),
            "name": live["name"],
            "vpcConfig": known.get("vpcConfig") or {name: vpc[name] for name in names if name in vpc},
            **shown_tags(live.get("tags") or {}, known),
        }

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        if new.get("version") and old.get("version") != new["version"]:
            raise AwsProviderError("the sandbox's clusters all are its one API server: their version cannot change")
        _tag(aws, old, new, old["arn"])
        return self.computed(aws, new["id"], new)

    def delete(self, aws: Clients, state: Values) -> None:
        try:
            aws.eks(state).delete_cluster(name=state["id"])
        except Exception as error:
            if not absent(error):
                raise


def described(aws: Clients, name: str, values: Values) -> Values | None:
    """A cluster as EKS describes it; None where there is none."""
    try:
        found: Values = aws.eks(values).describe_cluster(name=name)["cluster"]
    except Exception as error:
        if absent(error):
            return None
        raise
    return found


def cluster_values(live: Values) -> Values:
    """What the resource and the function tell alike."""
    issuer = (live.get("identity") or {}).get("oidc", {}).get("issuer")
    return {
        "arn": live["arn"],
        "roleArn": live["roleArn"],
        "version": live.get("version"),
        "endpoint": live.get("endpoint"),
        "status": live.get("status"),
        "platformVersion": live.get("platformVersion"),
        "createdAt": f"{live['createdAt']:%Y-%m-%dT%H:%M:%SZ}",
        "certificateAuthority": live.get("certificateAuthority"),
        "identities": [{"oidcs": [{"issuer": issuer}]}],
        "region": region_of(live["arn"]),
    }


def _tag(aws: Clients, old: Values, new: Values, arn: str) -> None:
    added, removed = changed_tags(old, new)
    client: Any = aws.eks(new)
    if removed:
        client.untag_resource(resourceArn=arn, tagKeys=removed)
    if added:
        client.tag_resource(resourceArn=arn, tags=added)


class PodIdentityAssociation(AwsResource):
    """aws:eks/podIdentityAssociation:PodIdentityAssociation; its id is the association's."""

    kind = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
    outputs = ("associationArn", "associationId", "externalId", "tagsAll")
    fields: ClassVar[Fields] = {
        "clusterName": Field(required=True, replaces=True),
        "namespace": Field(required=True, replaces=True),
        "serviceAccount": Field(required=True, replaces=True),
        "roleArn": Field(required=True),
        "disableSessionTags": Field(shape="boolean", computed=True),
        "targetRoleArn": Field(),
        "region": REGION,
        "tags": TAGS,
    }

    def identity(self, values: Values) -> str:
        return "/".join(str(values.get(name)) for name in ("clusterName", "namespace", "serviceAccount"))

    def from_id(self, resource_id: str) -> Values:
        cluster, comma, association = resource_id.partition(",")
        if not comma:
            raise AwsProviderError(f"{self.kind}: import by CLUSTER,ASSOCIATION_ID, not {resource_id!r}")
        return {"id": association, "clusterName": cluster}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        client = aws.eks(inputs)
        names = ("clusterName", "namespace", "serviceAccount")
        body = {name: inputs[name] for name in (*names, "roleArn")}
        body |= {name: inputs[name] for name in ("disableSessionTags", "targetRoleArn") if inputs.get(name) is not None}
        try:
            made = client.create_pod_identity_association(**body, tags=inputs.get("tagsAll") or {})["association"]
        except Exception as error:
            if code(error) != "ResourceInUseException":
                raise
            found = client.list_pod_identity_associations(**{name: inputs[name] for name in names})["associations"]
            live = self.read(aws, {**inputs, "id": found[0]["associationId"]}) if found else None
            if live is None or live["roleArn"] != inputs["roleArn"]:
                raise
            made = found[0]
        return made["associationId"], self.computed(aws, made["associationId"], inputs)

    def read(self, aws: Clients, known: Values) -> Values | None:
        try:
            live = aws.eks(known).describe_pod_identity_association(
                clusterName=known["clusterName"], associationId=known["id"]
            )["association"]
        except Exception as error:
            if absent(error):
                return None
            raise
        names = ("clusterName", "namespace", "serviceAccount", "roleArn", "associationArn", "associationId")
        return {
            "id": live["associationId"],
            **{name: live[name] for name in names},
            **{name: live.get(name) for name in ("disableSessionTags", "targetRoleArn", "externalId")},
            "region": region_of(live["associationArn"]),
            **shown_tags(live.get("tags") or {}, known),
        }

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        body = {
            name: new[name]
            for name in ("roleArn", "disableSessionTags", "targetRoleArn")
            if new.get(name) is not None and new[name] != old.get(name)
        }
        if body:
            aws.eks(new).update_pod_identity_association(
                clusterName=new["clusterName"], associationId=new["id"], **body
            )
        _tag(aws, old, new, old["associationArn"])
        return self.computed(aws, new["id"], new)

    def delete(self, aws: Clients, state: Values) -> None:
        try:
            aws.eks(state).delete_pod_identity_association(clusterName=state["clusterName"], associationId=state["id"])
        except Exception as error:
            if not absent(error):
                raise
