"""A policy pack's process: started from its PulumiPolicy.yaml as the Pulumi CLI does, its port read, ended with the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from sandbox.engine.errors import UsageError

HOST = Path(__file__).with_name("pack_host.py")
START_SECONDS = 60.0
GRACE_SECONDS = 2.0
NO_ENGINE = "127.0.0.1:0"  # the SDK's Python packs take the engine's address and never call it
_KEPT_LINES = 30
_PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


@dataclass(frozen=True, slots=True)
class PackStack:
    """The stack that packs are started for. ``config`` are its settings by full key, secret ones in plain text."""

    project: str
    stack: str
    organization: str = "organization"
    dry_run: bool = False
    config: Mapping[str, str] = field(default_factory=dict)
    secret_keys: Sequence[str] = ()

    def variables(self) -> dict[str, str]:
        """What the pack's SDK reads, as the CLI sets it."""
        found = {
            "PULUMI_PROJECT": self.project,
            "PULUMI_STACK": self.stack,
            "PULUMI_ORGANIZATION": self.organization,
            "PULUMI_DRY_RUN": "true" if self.dry_run else "false",
        }
        return found | ({"PULUMI_CONFIG": json.dumps(dict(self.config))} if self.config else {})


class PackProcess:
    """A pack that serves on ``port``."""

    def __init__(
        self, name: str, folder: Path, process: asyncio.subprocess.Process, tell: Callable[[str], None] | None
    ) -> None:
        self.name = name
        self.folder = folder
        self.port = 0
        self._process = process
        self._tell = tell
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._readers: list[asyncio.Task[None]] = []

    @classmethod
    async def start(
        cls,
        folder: Path,
        stack: PackStack,
        environment: Mapping[str, str],
        *,
        tell: Callable[[str], None] | None = None,
    ) -> PackProcess:
        """Start the pack in ``folder``; ``tell`` gets what it prints. Raises UsageError where it is none or does not serve."""
        name, python, folder = _described(folder)
        variables = {key: value for key, value in environment.items() if key not in _PASSPHRASE}
        process = await asyncio.create_subprocess_exec(
            python,
            "-u",
            str(HOST),
            NO_ENGINE,
            ".",
            cwd=folder,
            env={**variables, **stack.variables()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is the engine's to handle
        )
        pack = cls(name, folder, process, tell)
        try:
            await pack._serve()
        except BaseException:
            await pack.stop()
            raise
        return pack

    async def _serve(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        errors = asyncio.create_task(self._drain(self._process.stderr))
        self._readers.append(errors)
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        except TimeoutError:
            raise UsageError(f"policy pack {self.name}: did not serve within {START_SECONDS:.0f} s") from None
        except ValueError:
            line = b""
        text = line.decode("utf-8", "replace").strip()
        if not text.isdigit():
            if not text:
                await asyncio.wait([errors], timeout=GRACE_SECONDS)
            said = "\n".join([*([text] if text else []), *self._last])
            raise UsageError(f"policy pack {self.name}: does not start; expected its port first, it said:\n{said}")
        self.port = int(text)
        self._readers.append(asyncio.create_task(self._drain(self._process.stdout)))

    async def _drain(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than anything that could be shown
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip("\n")
            self._last.append(text)
            if self._tell and self.port and text.strip():
                self._tell(text)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def stop(self) -> None:
        """End it; it is given a moment to do so itself."""
        for send in (self._process.terminate, self._process.kill):
            if self.running:
                with contextlib.suppress(ProcessLookupError):
                    send()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), GRACE_SECONDS)
        if self._readers:
            await asyncio.wait(self._readers, timeout=1.0)


def _described(folder: Path) -> tuple[str, str, Path]:
    """The pack's name and interpreter, and where it is. Raises UsageError."""
    folder = folder.resolve()
    file = folder / "PulumiPolicy.yaml"
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"--policy-pack {folder}: {file.name} cannot be read: {reason}; expected a policy pack's folder"
        ) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{file}: expected a mapping")
    runtime = data.get("runtime")
    options = (runtime.get("options") or {}) if isinstance(runtime, dict) else {}
    language = runtime.get("name") if isinstance(runtime, dict) else runtime
    if language != "python":
        raise UsageError(f"{file}: runtime: {language!r}; the embedded engine runs python packs only")
    name = data.get("name")
    python = folder / str(options.get("virtualenv") or "") / "bin" / "python"
    found = str(python) if options.get("virtualenv") and os.access(python, os.X_OK) else sys.executable
    return (name if isinstance(name, str) and name else folder.name), found, folder
