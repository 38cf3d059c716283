"""The sandbox's providers refuse any endpoint that is not loopback."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from sandbox.providers.errors import EndpointRefused


def require_loopback(setting: str, url: str) -> str:
    """``url`` itself, where its host is a loopback address. Raises EndpointRefused naming ``setting``."""
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise EndpointRefused(setting, url)
    return url
