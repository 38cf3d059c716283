"""What the supervisor and its clients say to each other: one JSON object a line, over a socket in the state directory.

A request is ``{"do": VERB, ...}``; the answers are any number of ``{"progress": [name, state, seconds]}`` and then one of
``{"result": ...}`` or ``{"error": class name, "message": text}``. Whoever may open the private folder may ask.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.servers import errors

SOCKET = "supervisor.sock"
LINE_LIMIT = 4 * 2**20  # bytes of one message
Progress = Callable[[str, str, float], None]


@contextmanager
def socket_address(state_dir: Path) -> Iterator[str]:
    """A short path of the socket: one of its real length may not fit a socket address (108 bytes)."""
    folder = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def connect(state_dir: Path) -> socket.socket | None:
    """A connection to the supervisor; None where none answers."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(state_dir) as address:
            client.connect(address)
    except OSError:
        client.close()
        return None
    return client


def listen(state_dir: Path) -> socket.socket:
    """The supervisor's end. What an earlier one left is replaced: the caller holds the lock."""
    (state_dir / SOCKET).unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(state_dir) as address:
        server.bind(address)
    (state_dir / SOCKET).chmod(0o600)
    server.listen(64)
    return server


def ask(
    connection: socket.socket, request: dict[str, Any], *, deadline: float, on_progress: Progress | None = None
) -> Any:
    """Send one request and wait for its result, at most ``deadline`` seconds for each line. Raises the supervisor's error."""
    connection.settimeout(deadline)
    try:
        with connection, connection.makefile("rwb") as stream:
            stream.write(encode(request))
            stream.flush()
            for line in stream:
                answer = json.loads(line)
                if "progress" in answer:
                    if on_progress is not None:
                        on_progress(*answer["progress"])
                elif "error" in answer:
                    raise getattr(errors, answer["error"], errors.ServerError)(answer["message"])
                else:
                    return answer["result"]
    except TimeoutError:
        raise errors.ServerFailed(f"the supervisor did not answer {request['do']!r} within {deadline:.0f} s") from None
    except OSError as error:
        raise errors.SupervisorEnded(f"the supervisor ended while it was asked to {request['do']!r}: {error}") from None
    raise errors.SupervisorEnded(f"the supervisor ended while it was asked to {request['do']!r}")


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
