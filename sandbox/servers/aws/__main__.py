"""The server's process: ``python -m sandbox.servers.aws SETTINGS_FILE``.

The settings (JSON) name the folder, the port, and the cluster's issuer, server and authority. Listens on 127.0.0.1 only.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from sandbox.servers.aws.server import ACCOUNT, CLUSTER, CREDENTIALS

os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT  # before moto is imported

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from sandbox.servers.aws import backends
from sandbox.servers.aws.gateway import SERVICES, Gateway
from sandbox.servers.aws.oidc import Tokens
from sandbox.servers.aws.snapshot import Snapshot, SnapshotUnreadable
from sandbox.servers.files import private_write

SCHEDULE_SECONDS = 1.0


class Handler(MotoRequestHandler):  # type: ignore[misc]
    """Keeps connections open, answers at once, and logs nothing: the gateway has its own line."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


def administrator(folder: Path) -> None:
    """The administrator with a key of their own, made once; credentials.json has it for ``AwsServer``."""
    iam = backends.iam()
    if "administrator" in iam.users:
        user = iam.get_user("administrator")
        key = user.access_keys[0]
    else:
        user = iam.create_user(backends.REGION, "administrator")
        allow_all = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        user.policies["administrator"] = json.dumps(allow_all)
        key = iam.create_access_key("administrator")
    private_write(folder / CREDENTIALS, json.dumps({"id": key.access_key_id, "secret": key.secret_access_key}))


def cluster(settings: dict[str, str]) -> None:
    """The EKS cluster that the sandbox's API server plays."""
    eks = backends.eks()
    if CLUSTER not in eks.clusters:
        role = f"arn:aws:iam::{backends.ACCOUNT}:role/eks-cluster"
        eks.create_cluster(name=CLUSTER, role_arn=role, resources_vpc_config={"subnetIds": ["subnet-1", "subnet-2"]})
    live = eks.clusters[CLUSTER]
    live.identity = {"oidc": {"issuer": settings["issuer"]}}
    live.endpoint = settings["server"]
    live.certificate_authority = {"data": base64.b64encode(Path(settings["ca_file"]).read_bytes()).decode()}


def main(settings_file: str) -> None:
    settings = json.loads(Path(settings_file).read_text(encoding="utf-8"))
    folder, lock = Path(settings["folder"]), threading.RLock()
    snapshot = Snapshot(folder, lock)
    try:
        snapshot.load()
    except SnapshotUnreadable as error:
        sys.exit(f"aws: {error}")
    administrator(folder)
    cluster(settings)
    application = DomainDispatcherApplication(create_backend_app)
    gateway = Gateway(application, Tokens(Path(settings["ca_file"])), snapshot, lock, settings["issuer"])
    gateway.keep()
    warm(application)
    server = make_server("127.0.0.1", int(settings["port"]), gateway, threaded=True, request_handler=Handler)

    def ended(number: int, frame: FrameType | None) -> None:
        del number, frame
        with lock:  # no change is half made; what was acknowledged is on disk already
            os._exit(0)

    signal.signal(signal.SIGTERM, ended)
    threading.Thread(target=schedule, args=(gateway,), daemon=True, name="schedule").start()
    server.serve_forever()


def schedule(gateway: Gateway) -> None:
    while True:
        time.sleep(SCHEDULE_SECONDS)
        gateway.rotations.run_due()


def warm(application: DomainDispatcherApplication) -> None:
    """Load the services before the first request needs them."""
    for service in SERVICES:
        application.get_backend_for_host(f"{service}.{backends.REGION}.amazonaws.com")


if __name__ == "__main__":
    main(sys.argv[1])
