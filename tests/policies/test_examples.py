"""What a reader copies complies: each numbered example passes the pack, with the settings of dev."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples import run as examples
from sandbox import offline, policy, repository
from sandbox.engine import run


@pytest.mark.parametrize("example", sorted(examples.FOLDER.glob("[0-9][0-9]-*")), ids=lambda example: example.name)
def test_an_example_passes_the_policies(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = policy.bare_environment(tmp_path)
    endpoints = offline.endpoints(tmp_path)
    _, certificate = repository.key_pair()
    monkeypatch.setattr(repository, "sealing_certificate", lambda _: certificate.decode())  # no cluster to ask
    config = examples.write_config(example, endpoints)
    variables["SOPS_AGE_KEY_FILE"] = str(repository.age_key_file(endpoints))
    result = run(
        "preview",
        program=example,
        stack=examples.STACK,
        state=tmp_path / "state.json",
        providers=offline.PROVIDERS,
        config_files=[config],
        policy_packs=[policy.PACK],
        policy_pack_configs=[policy.PACK / "config" / "dev.json"],
        environment=variables,
    )
    told = [item.message for item in result.diagnostics if item.severity == "error" or item.violation is not None]
    undecided = [item.message for item in result.diagnostics if item.violation is not None and item.violation.undecided]
    # Who rotates the secret is no subject of the example on who reads it.
    rest = [text for text in told if text not in undecided and "no SecretRotation belongs" not in text]
    assert result.ok
    assert result.changes
    assert rest == []
