"""How far a build is: one live line on a terminal, plain lines elsewhere (CI). Standard library only, Rich where it is given."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from sandbox.toolchain.store import Status, seconds

if TYPE_CHECKING:
    from rich.console import Console

    from sandbox.toolchain.build import Show

_PLAIN_EVERY = 30.0  # seconds between two plain lines of one step


class Lines:
    """Progress on a stream: finished steps stay, what is done now is repainted (terminal) or said now and then (CI)."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._text = ""
        self._said = 0.0

    def now(self, text: str, *, topic: str = "") -> None:
        """Show what is done now. ``topic`` tells when it is something new (default: the text itself)."""
        topic = topic or text
        if self._live:
            width = shutil.get_terminal_size().columns - 3
            self._write(f"\r\x1b[K  {text[:width]}")
        elif topic != self._text or time.monotonic() - self._said > _PLAIN_EVERY:
            self._write(f"  {text}\n")
            self._said = time.monotonic()
        self._text = topic

    def say(self, text: str) -> None:
        """A line that stays."""
        self._write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")

    def clear(self) -> None:
        if self._live:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Steps:
    """Tells each finished step of a build once; with ``late``, only those that finish after the first look."""

    def __init__(self, *, late: bool = False) -> None:
        self._told: int | None = None if late else 0

    def new(self, status: Status) -> list[str]:
        fresh = [] if self._told is None else status.steps[self._told :]
        self._told = len(status.steps)
        return [f"✓ {name} {seconds(took)}" for name, took in fresh]


@contextmanager
def on_console(console: Console | None) -> Iterator[Show]:
    """A ``show`` for ``build.ensure``: Rich's status on a terminal, plain lines elsewhere, nothing for None."""
    if console is None:
        yield lambda _: None
        return
    steps = Steps(late=True)  # what was finished before is not this command's to tell
    if console.is_terminal:
        with console.status("waiting for the build") as live:

            def show(status: Status) -> None:
                for line in steps.new(status):
                    console.print(line, markup=False, highlight=False)
                live.update(status.line().replace("[", r"\["))

            yield show
        return
    lines = Lines(console.file)

    def show_plain(status: Status) -> None:
        for line in steps.new(status):
            lines.say(line)
        lines.now(status.line(), topic=status.text)

    yield show_plain
