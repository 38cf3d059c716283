"""The fixture of the engine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.stack import CONFORMANCE, Stack


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.syspath_prepend(str(CONFORMANCE))
    made = Stack(tmp_path)
    monkeypatch.setenv("PROBE_CLOUD", str(made.cloud_path))
    return made
