"""SOPS with a KMS key: the real binary encrypts and decrypts through the server, under the caller's own permissions."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path

from sandbox.toolchain.paths import wheel_binary
from tests.aws.fixtures import REGION, Cloud, Session, allow


def sops(session: Session, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": session.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": session.key,
        "AWS_SECRET_ACCESS_KEY": session.secret,
    }
    if session.token:
        environment["AWS_SESSION_TOKEN"] = session.token
    return subprocess.run(
        [wheel_binary("sops"), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_only_who_may_decrypt_reads_the_file(cloud: Cloud, tmp_path: Path) -> None:
    key = cloud.admin.client("kms").create_key()["KeyMetadata"]["Arn"]
    value, file = f"v-{uuid.uuid4()}", tmp_path / "secrets.json"
    file.write_text(json.dumps({"password": value}), encoding="utf-8")
    done = sops(cloud.admin, "encrypt", "--in-place", "--kms", key, str(file), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert value not in file.read_text(encoding="utf-8")
    may, may_not = cloud.session(allow("kms:Decrypt", key)), cloud.session(allow("kms:Encrypt", key))
    opened = sops(may, "decrypt", str(file), home=tmp_path)
    assert opened.returncode == 0, opened.stderr
    assert json.loads(opened.stdout) == {"password": value}
    refused = sops(may_not, "decrypt", str(file), home=tmp_path)
    assert refused.returncode != 0
    assert "AccessDeniedException" in refused.stderr
