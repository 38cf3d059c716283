"""The real servers of the sandbox: started on free loopback ports under one private directory, stopped with their owner.

``start`` and ``start_parts`` bring them up, ``stop`` leaves nothing behind, ``status`` and ``logs`` tell how they are.
"""

from sandbox.servers.client import Parts, ServerStatus, logs, start, start_parts, status, stop
from sandbox.servers.errors import NotRunning, NotSupported, ServerError, ServerFailed

__all__ = [
    "start",
    "start_parts",
    "stop",
    "status",
    "logs",
    "ServerStatus",
    "Parts",
    "ServerError",
    "ServerFailed",
    "NotRunning",
    "NotSupported",
]
