"""What the dev stack finds in git and in the cluster before it comes up, made anew for each sandbox.

In a real environment a team's repository holds encrypted files, and the cluster has the sealing keys that a backup put back. A
key in this project's own repository would be no secret, so each sandbox has its own: an age key with a SOPS file under it,
and a sealing key with its certificate.
"""

from __future__ import annotations

import base64
import datetime
import secrets
import subprocess
from pathlib import Path

import pyrage
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox.endpoints import Endpoints
from sandbox.providers.kubernetes.api import Api, Kind
from sandbox.providers.kubernetes.kubeconfig import load
from sandbox.servers.files import private_folder, private_write
from sandbox.toolchain.paths import wheel_binary

SOPS_FILE = "secrets/dev/report-mailer.yaml"
AGE_KEY = "age-key.txt"
SEALING_KEY = "sealed-secrets-key-sandbox"
SEALING_NAMESPACE = "kube-system"
SEALING_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key"


def folder(endpoints: Endpoints) -> Path:
    """The folder that plays the team's repository."""
    return Path(endpoints.state_dir) / "repository"


def age_key_file(endpoints: Endpoints) -> Path:
    """The age identity that opens the repository's files, made once."""
    path = Path(endpoints.state_dir) / AGE_KEY
    if not path.exists():
        private_write(path, f"{pyrage.x25519.Identity.generate()}\n")
    return path


def prepare(endpoints: Endpoints) -> None:
    """Write the SOPS file, with values drawn here, unless it is there."""
    file = folder(endpoints) / SOPS_FILE
    if file.exists():
        return
    private_folder(file.parent)
    identity = pyrage.x25519.Identity.from_str(age_key_file(endpoints).read_text(encoding="utf-8").strip())
    content = {"SMTP_USER": f"mailer-{secrets.token_hex(4)}", "SMTP_PASSWORD": secrets.token_urlsafe(18)}
    command = [str(wheel_binary("sops")), "encrypt", "--age", str(identity.to_public())]
    command += ["--input-type", "yaml", "--output-type", "yaml", "--filename-override", file.name]
    done = subprocess.run(
        command, input=yaml.safe_dump(content), capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise RuntimeError(f"sops could not write {file}: {done.stderr.strip()[:300]}")
    private_write(file, done.stdout)


def sealing_certificate(endpoints: Endpoints) -> str:
    """PEM of the cluster's sealing certificate; its key is put into the cluster first, as a restored backup would be."""
    api = Api(load(endpoints.kubernetes.kubeconfig))
    try:
        secret = Kind("v1", "Secret", "secrets", True)
        there = api.get(secret, SEALING_NAMESPACE, SEALING_KEY)
        if there is not None:
            return base64.b64decode(there["data"]["tls.crt"]).decode()
        key, certificate = key_pair()
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SEALING_KEY, "namespace": SEALING_NAMESPACE, "labels": {SEALING_LABEL: "active"}},
            "type": "kubernetes.io/tls",
            "data": {"tls.key": base64.b64encode(key).decode(), "tls.crt": base64.b64encode(certificate).decode()},
        }
        api.request("POST", secret.path(SEALING_NAMESPACE), body=body)
        return certificate.decode()
    finally:
        api.close()


def key_pair() -> tuple[bytes, bytes]:
    """A sealing key and its certificate as the controller makes them: RSA, signed by itself, good for ten years."""
    key = rsa.generate_private_key(65537, 4096)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealed-secrets sandbox")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)
