"""The AWS server of the sandbox with an issuer of its own, one for a session."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from sandbox.endpoints import Aws, Kubernetes
from sandbox.servers.aws import AwsServer
from sandbox.servers.files import Ports, private_folder
from tests.aws.issuer import Issuer, authority

REGION = "us-east-1"
ACCOUNT = "123456789012"


@dataclass
class Session:
    """Somebody's credentials at the server."""

    url: str
    key: str
    secret: str
    token: str | None = None

    def client(self, service: str, *, attempts: int = 1) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
        )


@dataclass
class Cloud:
    """The server, its issuer, and what tests do with both."""

    server: AwsServer
    aws: Aws
    issuer: Issuer
    state_dir: Path

    @property
    def admin(self) -> Session:
        return Session(self.aws.endpoint_url, self.aws.access_key_id, self.aws.secret_access_key)

    def anonymous(self, service: str) -> Any:
        from botocore import UNSIGNED

        config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
        return boto3.client(service, endpoint_url=self.aws.endpoint_url, region_name=REGION, config=config)

    def provider(self, *audiences: str) -> str:
        """Register the issuer, if it is not; its ARN."""
        iam = self.admin.client("iam")
        arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{self.issuer.host}"
        with suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_open_id_connect_provider(
                Url=self.issuer.url, ClientIDList=list(audiences) or ["sts.amazonaws.com"]
            )
        return arn

    def role(
        self, *statements: dict[str, Any], subject: str = "system:serviceaccount:production:app", **more: Any
    ) -> str:
        """A role that ``subject`` may assume by web identity, with these statements as its policy; its ARN."""
        provider, host = self.provider(), self.issuer.host
        trust = {
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{host}:sub": subject, f"{host}:aud": "sts.amazonaws.com"}},
        }
        return self.trusting(trust, *statements, **more)

    def trusting(self, trust: dict[str, Any], *statements: dict[str, Any], **more: Any) -> str:
        iam, name = self.admin.client("iam"), f"role-{uuid.uuid4().hex[:8]}"
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust), **more)["Role"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="it", PolicyDocument=document(*statements))
        arn: str = made["Arn"]
        return arn

    def assume(self, role: str, token: str) -> Session:
        found = self.anonymous("sts").assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="test", WebIdentityToken=token
        )["Credentials"]
        return Session(self.aws.endpoint_url, found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def session(self, *statements: dict[str, Any], **more: Any) -> Session:
        """A session of a new role with these statements."""
        return self.assume(self.role(*statements, **more), self.issuer.token("system:serviceaccount:production:app"))

    def secret(self, value: str = "value", **more: Any) -> str:
        """A new secret; its ARN."""
        made = self.admin.client("secretsmanager").create_secret(
            Name=f"app/{uuid.uuid4().hex}", SecretString=value, **more
        )
        arn: str = made["ARN"]
        return arn

    def log(self) -> str:
        return self.server.process.log.read_text(encoding="utf-8")


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: str | list[str], resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def started(state_dir: Path, issuer: Issuer, ca_file: Path) -> Cloud:
    kubernetes = Kubernetes(server=issuer.url, ca_file=str(ca_file), kubeconfig="", issuer=issuer.url)
    server = AwsServer(private_folder(state_dir), Ports(private_folder(state_dir)), kubernetes)
    return Cloud(server, asyncio.run(server.start()), issuer, state_dir)


@contextmanager
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A server and its issuer; they end with this process, however that ends."""
    made = authority(private_folder(tmp_path_factory.mktemp("pki")))
    issuer = Issuer(made)
    found = started(tmp_path_factory.mktemp("aws"), issuer, made.certificate_file)
    yield found
    asyncio.run(found.server.process.stop())
    issuer.close()


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One server for the session."""
    with running(tmp_path_factory) as found:
        yield found
