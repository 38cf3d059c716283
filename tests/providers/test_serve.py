"""The providers over gRPC, as an engine that attaches to them calls them."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from sandbox.endpoints import Vault
from tests.aws.fixtures import REGION, Cloud, document

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
Stub = provider_pb2_grpc.ResourceProviderStub
TRUST = document({"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"})


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    result = struct_pb2.Struct()
    result.update(values)
    return result


def hidden(value: str) -> dict[str, str]:
    return {SIGNATURE: SECRET, "value": value}


def data(message: Any) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message)


@pytest.fixture
def served() -> Iterator[Callable[..., Any]]:
    """Start a provider's process; a stub of it, attached and configured."""
    processes: list[subprocess.Popen[str]] = []
    channels: list[grpc.Channel] = []

    def start(package: str, **environment: str) -> Any:
        process = subprocess.Popen(
            [sys.executable, "-m", f"sandbox.providers.{package}"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        processes.append(process)
        assert process.stdout is not None
        channel = grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}")
        channels.append(channel)
        stub = Stub(channel)
        stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
        configured = stub.Configure(
            provider_pb2.ConfigureRequest(args=struct({}), acceptSecrets=True, acceptResources=True)
        )
        assert configured.acceptSecrets
        assert configured.supportsPreview
        return stub

    yield start
    for channel in channels:
        channel.close()
    for process in processes:
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def login(cloud: Cloud) -> dict[str, str]:
    """The environment in which the aws provider finds the AWS server, as its administrator."""
    return {
        "AWS_ENDPOINT_URL": cloud.aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": cloud.aws.access_key_id,
        "AWS_SECRET_ACCESS_KEY": cloud.aws.secret_access_key,
        "AWS_REGION": REGION,
    }


def urn(kind: str) -> str:
    return f"urn:pulumi:dev::strongroom::{kind}::it"


def checked(stub: Any, kind: str, inputs: dict[str, Any], olds: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = stub.Check(provider_pb2.CheckRequest(urn=urn(kind), olds=struct(olds or {}), news=struct(inputs)))
    assert not answer.failures, answer.failures
    return data(answer.inputs)


def test_the_aws_provider_lives_through_a_resource(served: Callable[..., Any], cloud: Cloud) -> None:
    stub = served("aws", **login(cloud))
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == "7.51.1"
    kind = "aws:iam/role:Role"
    inputs = checked(stub, kind, {"assumeRolePolicy": TRUST})
    assert inputs["name"].startswith("it-")
    preview = stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=struct(inputs), preview=True))
    assert data(preview.properties)["arn"] == UNKNOWN
    made = stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=struct(inputs)))
    state = data(made.properties)
    assert made.id == inputs["name"]
    news = checked(stub, kind, {"assumeRolePolicy": TRUST, "description": "d"}, inputs)
    diff = stub.Diff(provider_pb2.DiffRequest(id=made.id, urn=urn(kind), olds=struct(state), news=struct(news)))
    assert diff.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(diff.diffs) == ["description"]
    assert diff.detailedDiff["description"].kind == provider_pb2.PropertyDiff.ADD
    renamed = checked(stub, kind, {"assumeRolePolicy": TRUST, "name": "other"}, inputs)
    replaced = stub.Diff(provider_pb2.DiffRequest(id=made.id, urn=urn(kind), olds=struct(state), news=struct(renamed)))
    assert list(replaced.replaces) == ["name"]
    updated = stub.Update(provider_pb2.UpdateRequest(id=made.id, urn=urn(kind), olds=struct(state), news=struct(news)))
    assert data(updated.properties)["description"] == "d"
    read = stub.Read(provider_pb2.ReadRequest(id=made.id, urn=urn(kind)))
    assert data(read.properties)["arn"] == state["arn"]
    stub.Delete(provider_pb2.DeleteRequest(id=made.id, urn=urn(kind), properties=updated.properties))
    assert not stub.Read(provider_pb2.ReadRequest(id=made.id, urn=urn(kind))).id


def test_a_secret_keeps_its_mark_over_the_wire(served: Callable[..., Any], cloud: Cloud) -> None:
    stub = served("aws", **login(cloud))
    kind, value, holder = "aws:secretsmanager/secretVersion:SecretVersion", f"v-{uuid.uuid4()}", cloud.secret("x")
    inputs = checked(stub, kind, {"secretId": holder, "secretString": value})
    assert inputs["secretString"] == hidden(value)
    made = stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=struct(inputs)))
    assert data(made.properties)["secretString"] == hidden(value)
    write_only = {"secretId": holder, "secretStringWo": hidden(value), "secretStringWoVersion": 1}
    made = stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=struct(checked(stub, kind, write_only))))
    assert value not in str(made.properties)


def test_errors_are_what_the_server_said_and_name_the_property(served: Callable[..., Any], cloud: Cloud) -> None:
    stranger = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    stub = served("aws", **{**login(cloud), **stranger})
    kind = "aws:iam/role:Role"
    answer = stub.Check(provider_pb2.CheckRequest(urn=urn(kind), olds=struct({}), news=struct({"nmae": "x"})))
    assert sorted(failure.property for failure in answer.failures) == ["assumeRolePolicy", "nmae"]
    inputs = checked(stub, kind, {"assumeRolePolicy": TRUST})
    with pytest.raises(grpc.RpcError) as caught:
        stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=struct(inputs)))
    assert caught.value.details().startswith(
        "aws: An error occurred (InvalidClientTokenId) when calling the CreateRole"
    )
    assert "Traceback" not in caught.value.details()


def test_a_function_over_the_wire(served: Callable[..., Any], cloud: Cloud) -> None:
    stub = served("aws", **login(cloud))
    answer = stub.Invoke(
        provider_pb2.InvokeRequest(tok="aws:index/getCallerIdentity:getCallerIdentity", args=struct({}))
    )
    assert data(getattr(answer, "return"))["accountId"] == "123456789012"


def test_the_vault_provider_over_the_wire(served: Callable[..., Any], openbao: Vault) -> None:
    stub = served("vault", VAULT_ADDR=openbao.address, VAULT_CACERT=openbao.ca_file, VAULT_TOKEN=openbao.token)
    kind = "vault:index/policy:Policy"
    inputs = checked(
        stub, kind, {"name": f"p-{uuid.uuid4().hex[:8]}", "policy": 'path "x" { capabilities = ["read"] }'}
    )
    made = stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=struct(inputs)))
    assert made.id == inputs["name"]
    assert stub.Read(provider_pb2.ReadRequest(id=made.id, urn=urn(kind))).id == made.id
    stub.Delete(provider_pb2.DeleteRequest(id=made.id, urn=urn(kind), properties=made.properties))


def test_the_random_provider_over_the_wire(served: Callable[..., Any]) -> None:
    stub = served("random")
    kind = "random:index/randomPassword:RandomPassword"
    inputs = checked(stub, kind, {"length": 12})
    made = stub.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=struct(inputs)))
    result = data(made.properties)["result"]
    assert result[SIGNATURE] == SECRET
    assert len(result["value"]) == 12
