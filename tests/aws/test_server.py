"""The server itself: state over a stop and a kill, throttling, versions and stages, rotation, Pod Identity."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from sandbox.servers.aws import admin
from tests.aws.fixtures import ACCOUNT, REGION, Cloud, Session, allow, running
from tests.waiting import until

SUBJECT = "system:serviceaccount:production:app"
READ = "secretsmanager:GetSecretValue"


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A server for one test, which may stop and kill it."""
    with running(tmp_path_factory) as found:
        yield found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_acknowledged_survives(own: Cloud, how: signal.Signals) -> None:
    value = f"kept-{uuid.uuid4()}"
    key = own.admin.client("kms").create_key()["KeyMetadata"]["Arn"]
    secret = own.secret(value, KmsKeyId=key)
    session = own.session(allow(READ, secret), allow("kms:Decrypt", key))
    blob = own.admin.client("kms").encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]
    client = own.admin.client("secretsmanager")
    version = client.put_secret_value(SecretId=secret, SecretString=value + "2")["VersionId"]
    signing = own.admin.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    signed = {"KeyId": signing, "Message": b"data", "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = own.admin.client("kms").sign(**signed)["Signature"]
    pid = own.server.process.pid
    assert pid is not None
    os.kill(pid, how)
    until("it has ended", lambda: own.server.process.exit_code is not None)
    again = asyncio.run(_start(own))
    assert again.secret_access_key == own.aws.secret_access_key
    assert again.access_key_id == own.aws.access_key_id
    found = session.client("secretsmanager").get_secret_value(SecretId=secret)
    assert (found["SecretString"], found["VersionId"]) == (value + "2", version)
    assert own.admin.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"
    assert own.admin.client("kms").verify(**signed, Signature=signature)["SignatureValid"]


async def _start(cloud: Cloud) -> Any:
    return await cloud.server.start()


def test_many_writers_lose_nothing_when_it_is_killed(own: Cloud) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def write(number: int) -> None:
        client = own.admin.client("secretsmanager")
        count = 0
        while not stop.is_set():
            name = f"w{number}/{count}"
            try:
                client.create_secret(Name=name, SecretString="v")
            except Exception:  # noqa: BLE001 - the server was killed under it
                return
            acknowledged.append(name)
            count += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    until("forty are there", lambda: len(acknowledged) > 40)
    assert own.server.process.pid is not None
    os.kill(own.server.process.pid, signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    until("it has ended", lambda: own.server.process.exit_code is not None)
    asyncio.run(_start(own))
    pages = own.admin.client("secretsmanager").get_paginator("list_secrets").paginate()
    kept = {one["Name"] for page in pages for one in page["SecretList"]}
    assert set(acknowledged) <= kept


def test_no_value_is_on_disk_in_clear_and_files_are_private(own: Cloud) -> None:
    value = f"only-in-memory-{uuid.uuid4()}"
    own.secret(value)
    for file in own.state_dir.rglob("*"):
        if file.is_file():
            assert value.encode() not in file.read_bytes(), file.name
            assert file.stat().st_mode & 0o077 == 0, file.name


def test_a_service_can_be_throttled_by_the_administrator_only(cloud: Cloud) -> None:
    secret = cloud.secret()
    session = cloud.session(allow(READ, secret))
    admin.throttle(cloud.aws, "secretsmanager", 2)
    client = session.client("secretsmanager")
    for _ in range(2):
        with pytest.raises(ClientError, match="ThrottlingException"):
            client.get_secret_value(SecretId=secret)
    client.get_secret_value(SecretId=secret)
    admin.throttle(cloud.aws, "secretsmanager", 1, action="GetSecretValue")
    assert session.client("secretsmanager", attempts=3).get_secret_value(SecretId=secret)["SecretString"] == "value"
    stranger = Session(session.url, session.key, session.secret, session.token)
    body = {"service": "secretsmanager", "requests": 5}
    assert httpx.post(f"{stranger.url}/_sandbox/throttle", json=body, timeout=60).status_code == 403


def test_stages_move_and_the_default_follows_them(cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    secret = cloud.secret("one")
    first = client.get_secret_value(SecretId=secret)["VersionId"]
    second = client.put_secret_value(SecretId=secret, SecretString="two")["VersionId"]
    pending = client.put_secret_value(SecretId=secret, SecretString="three", VersionStages=["AWSPENDING"])["VersionId"]
    assert client.get_secret_value(SecretId=secret)["SecretString"] == "two"
    assert client.get_secret_value(SecretId=secret, VersionStage="AWSPREVIOUS")["VersionId"] == first
    assert client.get_secret_value(SecretId=secret, VersionStage="AWSPENDING")["SecretString"] == "three"
    client.update_secret_version_stage(
        SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=pending, RemoveFromVersionId=second
    )
    assert client.get_secret_value(SecretId=secret)["SecretString"] == "three"
    assert client.get_secret_value(SecretId=secret, VersionStage="AWSPREVIOUS")["VersionId"] == second


class Function:
    """A rotation function over HTTP, as Lambda would run it."""

    def __init__(self, handler: Callable[[dict[str, Any]], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    handler(event)
                    self.send_response(200)
                except Exception:  # noqa: BLE001 - as Lambda: an error of the function is its answer
                    self.send_response(500)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_rotation_runs_its_four_steps_and_moves_the_current_stage(cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    secret = cloud.secret("before")
    steps: list[str] = []

    def rotate(event: dict[str, Any]) -> None:
        steps.append(event["Step"])
        token = event["ClientRequestToken"]
        stages = client.describe_secret(SecretId=event["SecretId"])["VersionIdsToStages"]
        assert "AWSPENDING" in stages[token]
        if event["Step"] == "createSecret":
            client.put_secret_value(
                SecretId=secret, ClientRequestToken=token, SecretString="after", VersionStages=["AWSPENDING"]
            )
        if event["Step"] == "finishSecret":
            current = next(one for one, labels in stages.items() if "AWSCURRENT" in labels)
            client.update_secret_version_stage(
                SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
            )

    function = Function(rotate)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate"
    rules = {"ScheduleExpression": "rate(10 days)", "Duration": "3h"}
    try:
        with pytest.raises(ClientError, match="cannot invoke the specified Lambda function"):
            client.rotate_secret(SecretId=secret, RotationLambdaARN=arn + "-unknown", RotationRules=rules)
        admin.register_function(cloud.aws, arn, function.url)
        client.rotate_secret(SecretId=secret, RotationLambdaARN=arn, RotationRules=rules)
        until("the new value is there", lambda: client.get_secret_value(SecretId=secret)["SecretString"] == "after")
        assert steps == ["createSecret", "setSecret", "testSecret", "finishSecret"]
        assert client.get_secret_value(SecretId=secret, VersionStage="AWSPREVIOUS")["SecretString"] == "before"
        until("the date is there", lambda: "LastRotatedDate" in client.describe_secret(SecretId=secret))
        found = client.describe_secret(SecretId=secret)
        assert found["RotationRules"] == rules
        assert found["RotationEnabled"]
        assert 9 < (found["NextRotationDate"].timestamp() - time.time()) / 86400 <= 10
        client.cancel_rotate_secret(SecretId=secret)
        assert not client.describe_secret(SecretId=secret)["RotationEnabled"]
    finally:
        function.close()


def test_a_failed_step_leaves_the_current_value(cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    secret = cloud.secret("before")
    steps: list[str] = []

    def rotate(event: dict[str, Any]) -> None:
        steps.append(event["Step"])
        raise RuntimeError

    function = Function(rotate)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:broken"
    try:
        admin.register_function(cloud.aws, arn, function.url)
        client.rotate_secret(SecretId=secret, RotationLambdaARN=arn, RotationRules={"AutomaticallyAfterDays": 1})
        until("the failure is logged", lambda: "createSecret failed" in cloud.log())
        assert steps == ["createSecret"]
        assert client.get_secret_value(SecretId=secret)["SecretString"] == "before"
    finally:
        function.close()


def test_a_secret_in_its_recovery_window_can_come_back(cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    secret = cloud.secret()
    client.delete_secret(SecretId=secret, RecoveryWindowInDays=7)
    with pytest.raises(ClientError, match="InvalidRequestException"):
        client.get_secret_value(SecretId=secret)
    with pytest.raises(ClientError, match="already scheduled for deletion"):
        client.create_secret(Name=secret.rpartition(":")[2][:-7], SecretString="x")
    client.restore_secret(SecretId=secret)
    assert client.get_secret_value(SecretId=secret)["SecretString"] == "value"


def test_the_cluster_has_the_issuer_of_the_sandbox(cloud: Cloud) -> None:
    found = cloud.admin.client("eks").describe_cluster(name="sandbox")["cluster"]
    assert found["identity"]["oidc"]["issuer"] == cloud.issuer.url
    assert found["endpoint"] == cloud.issuer.url


def test_pod_identity_gives_a_pod_its_role_with_the_tags_of_eks(cloud: Cloud) -> None:
    secret = cloud.secret("for the pod")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "production"}},
    }
    mine = {"StringEquals": {"aws:PrincipalTag/kubernetes-service-account": "pod"}}
    role = cloud.trusting(trust, allow(READ, secret, Condition=mine))
    eks = cloud.admin.client("eks")
    made = [
        eks.create_pod_identity_association(clusterName="sandbox", namespace=space, serviceAccount="pod", roleArn=role)
        for space in ("production", "staging")
    ]

    def ask(namespace: str, account: str = "pod", audience: str = "pods.eks.amazonaws.com") -> httpx.Response:
        token = cloud.issuer.token(f"system:serviceaccount:{namespace}:{account}", audience=audience)
        return httpx.get(f"{cloud.aws.endpoint_url}/v1/credentials", headers={"Authorization": token}, timeout=60)

    try:
        found = ask("production").json()
        session = Session(cloud.aws.endpoint_url, found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
        assert session.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == "for the pod"
        assert ask("staging").status_code == 403  # the trust policy asks for the namespace
        assert ask("production", "other").status_code == 403  # no association
        assert ask("production", audience="sts.amazonaws.com").status_code == 400
    finally:
        for one in made:
            association = one["association"]["associationId"]
            eks.delete_pod_identity_association(clusterName="sandbox", associationId=association)
    assert ask("production").status_code == 403


def test_a_key_rotates_on_the_period_it_was_given(cloud: Cloud) -> None:
    kms = cloud.admin.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    assert not kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    assert kms.get_key_rotation_status(KeyId=key)["RotationPeriodInDays"] == 90


def test_it_listens_on_loopback_only(cloud: Cloud) -> None:
    import psutil

    listening = psutil.Process(cloud.server.process.pid).net_connections("tcp")
    assert {one.laddr.ip for one in listening if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
