"""What can go wrong with the servers.

ServerError
├── ServerFailed      one did not become ready, or ended: its name and the last lines of its log
├── NotRunning        no supervisor answers for this state directory
└── NotSupported      this machine lacks something; the message says what and the fix
"""

from __future__ import annotations


class ServerError(Exception):
    """The base of them all."""


class ServerFailed(ServerError):
    """A server did not become ready in time, or ended."""


class SupervisorEnded(ServerFailed):
    """The supervisor ended before it answered; its servers ended with it."""


class NotRunning(ServerError):
    """No sandbox runs at this state directory."""


class NotSupported(ServerError):
    """This machine lacks something that a server needs."""
