"""Name and password out of what is delivered: JSON, ``export`` lines, or a mapping of keys. Values never reach a message."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from rotation.errors import SourceMalformed

USERNAME_KEYS = ("username", "user", "DB_USERNAME", "DB_USER", "PGUSER", "POSTGRES_USER")
PASSWORD_KEYS = ("password", "DB_PASSWORD", "PGPASSWORD", "POSTGRES_PASSWORD")
URL_KEYS = ("DATABASE_URL", "url", "uri")
_PLACES = {
    "host": ("host", "DB_HOST", "PGHOST"),
    "port": ("port", "DB_PORT", "PGPORT"),
    "dbname": ("dbname", "database", "DB_NAME", "PGDATABASE"),
}
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")


def parse_text(text: str, where: str) -> dict[str, str]:
    """JSON where it starts with a brace, shell assignments otherwise."""
    if text.lstrip().startswith("{"):
        return parse_json(text, where)
    values = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line)
        if match:
            try:
                values[match[1]] = "".join(shlex.split(match[2]))
            except ValueError:
                raise SourceMalformed(f"{where}: the value of {match[1]} has an unclosed quote") from None
    if not values:
        raise SourceMalformed(f"{where}: neither a JSON object nor lines like export NAME=value")
    return values


def parse_json(text: str, where: str) -> dict[str, str]:
    """A JSON object; nested ones (an agent's ``.Data``) are opened."""
    try:
        data = json.loads(text)
    except ValueError as error:
        position = getattr(error, "pos", 0)
        raise SourceMalformed(f"{where}: not valid JSON at character {position}") from None  # the cause holds the text
    while isinstance(data, dict) and isinstance(data.get("data"), dict):
        data = data["data"]
    if not isinstance(data, dict):
        raise SourceMalformed(f"{where}: expected a JSON object, got a {type(data).__name__}")
    return {str(key): str(value) for key, value in data.items() if isinstance(value, str | int | float)}


def login(
    values: Mapping[str, str], where: str, username_key: str | None = None, password_key: str | None = None
) -> tuple[str, str, dict[str, str]]:
    """Name, password and place. Raises SourceMalformed naming the keys that were looked for and those that are there."""
    username = _first(values, (username_key,) if username_key else USERNAME_KEYS)
    password = _first(values, (password_key,) if password_key else PASSWORD_KEYS)
    place = {name: found for name, keys in _PLACES.items() if (found := _first(values, keys))}
    url = _first(values, URL_KEYS)
    if url and (not username or not password):
        parts = urlsplit(url)
        username, password = username or unquote(parts.username or ""), password or unquote(parts.password or "")
        parts_of = {"host": parts.hostname, "port": parts.port, "dbname": unquote(parts.path.lstrip("/"))}
        place = {key: str(value) for key, value in parts_of.items() if value} | place
    if not username or not password:
        what = "user's name" if not username else "password"
        wanted = (username_key,) if username_key and not username else (password_key,) if password_key else None
        expected = ", ".join(wanted or (USERNAME_KEYS if not username else PASSWORD_KEYS))
        raise SourceMalformed(
            f"{where}: no {what}; expected {expected}; there are the keys {', '.join(sorted(values)) or 'none'}"
        )
    return username, password, place


def _first(values: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((values[key] for key in keys if values.get(key)), None)
