"""The hooks as git runs them: a commit that would bring plaintext in is refused, with the file's name and no value."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
import yaml

from gitops.sops import files
from tests.gitops.controller import manifest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-value"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with creation rules and every hook of this project, run on the files of the commit."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    files.init(root, {"production": [str(pyrage.x25519.Identity.generate().to_public())]})
    (root / "secrets" / "production").mkdir(parents=True)
    (root / "deploy").mkdir()
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    lines = ["#!/bin/sh", "set -e"]
    for hook in hooks:
        entry = shlex.split(hook["entry"])
        assert entry[:3] == ["python", "-m", "gitops"]
        command = shlex.join([sys.executable, *entry[1:]])
        lines.append(f"git diff --cached --name-only -z --diff-filter=ACM | xargs -0 -r {command}")
    hook_file = root / ".git" / "hooks" / "pre-commit"
    hook_file.write_text("\n".join(lines) + "\n")
    hook_file.chmod(0o700)
    return root


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.com"]
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


def commit(root: Path) -> subprocess.CompletedProcess[str]:
    assert git(root, "add", "-A").returncode == 0
    return git(root, "commit", "-q", "-m", "change")


def test_what_is_encrypted_may_be_committed(repository: Path) -> None:
    path = repository / "secrets" / "production" / "the app.yaml"
    path.write_text(f"password: {SECRET}\n")
    files.encrypt(repository, [path])
    done = commit(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    path.unlink()
    (repository / "notes.txt").write_text("an encrypted file may go\n")
    done = commit(repository)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plain_file_where_a_rule_wants_ciphertext_is_refused(repository: Path) -> None:
    (repository / "secrets" / "production" / "the app.yaml").write_text(f"password: {SECRET}\n")
    done = commit(repository)
    assert done.returncode != 0
    assert "secrets/production/the app.yaml: not encrypted" in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert git(repository, "log").returncode != 0  # nothing was committed


def test_a_plain_secret_manifest_is_refused_anywhere(repository: Path) -> None:
    (repository / "deploy" / "secret.yaml").write_text(manifest("app", "production", PASSWORD=SECRET))
    done = commit(repository)
    assert done.returncode != 0
    assert "deploy/secret.yaml (production/app)" in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
