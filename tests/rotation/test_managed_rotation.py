"""Secrets Manager itself calls the rotation function: RotateSecret on the sandbox's server, IAM enforced, under a pool."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from rotation import RotatingConnectionPool, SecretsManager
from rotation.function import STEPS, RotationFunction
from sandbox.endpoints import Endpoints
from sandbox.servers.aws.admin import register_function
from tests.rotation.conftest import Database, password


@pytest.fixture
def client(sandbox_endpoints: Endpoints) -> Any:
    aws = sandbox_endpoints.aws
    return boto3.client(
        "secretsmanager",
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
    )


@pytest.fixture
def function(sandbox_endpoints: Endpoints, client: Any) -> Iterator[tuple[str, list[str]]]:
    """The function behind a loopback address, as Lambda would run it; its ARN, and the steps that it was asked for."""
    steps: list[str] = []
    rotator = RotationFunction(client)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            steps.append(event["Step"])
            rotator.handle(event)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    aws = sandbox_endpoints.aws
    arn = f"arn:aws:lambda:{aws.region}:{aws.account_id}:function:rotation-{secrets.token_hex(3)}"
    register_function(aws, arn, f"http://127.0.0.1:{server.server_port}/")
    yield arn, steps
    server.shutdown()
    server.server_close()


def test_rotate_secret_takes_the_four_steps_and_the_pool_follows(
    sandbox_endpoints: Endpoints, client: Any, function: tuple[str, list[str]], eventually: Callable[..., None]
) -> None:
    database = Database(sandbox_endpoints.postgres)
    name, word = database.new_name(), password()
    database.set_user(name, word)
    endpoint, secret = database.endpoint, f"managed/{name}"
    value = {
        "username": name,
        "password": word,
        "host": endpoint.host,
        "port": endpoint.port,
        "dbname": endpoint.database,
    }
    client.create_secret(Name=secret, SecretString=json.dumps(value))
    arn, steps = function
    source = SecretsManager(secret, client=client, poll_interval=0.2)
    try:
        with RotatingConnectionPool(credentials=source, min_size=2, open=True, timeout=30) as pool:
            pool.wait()
            client.rotate_secret(SecretId=secret, RotationLambdaARN=arn, RotationRules={"AutomaticallyAfterDays": 30})
            eventually(lambda: steps == list(STEPS))
            eventually(lambda: pool.health().generation == 2)
            with pool.connection() as connection:
                connection.execute("SELECT 1")
            client.rotate_secret(SecretId=secret)
            eventually(lambda: pool.health().generation == 3)
            assert (pool.health().rotates_in_seconds or 0) > 86_400  # it knows the schedule
    finally:
        client.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        database.drop_user(name)
