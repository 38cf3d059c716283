"""One resource type of the provider: its fields, its path in the API, and how it is created, read, updated, deleted.

Works on plain data (names as in Pulumi's SDK, secrets in clear); the provider adds marks and unknowns.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.providers.tables import Field
from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import VaultError

Values = dict[str, Any]
_NOTHING: dict[str, Any] = {
    "string": "",
    "integer": 0,
    "boolean": False,
    "list": [],
    "set": [],
    "map": {},
    "object": {},
}


@dataclass(frozen=True, kw_only=True)
class VaultField(Field):
    """A property and what Vault's API calls it."""

    api: str | None = None  # default: the name in snake case; "" is not sent
    read_api: str | None = None  # where an answer calls it otherwise
    write_only: bool = False  # no answer has it: a refresh keeps what is known
    autoname: bool = False  # left out, it becomes LOGICALNAME-7HEX, as with the real provider


VaultFields = Mapping[str, VaultField]


def snake(name: str) -> str:
    """``tokenTtl`` -> ``token_ttl``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match.group(1).lower()}", name)


def given(values: Mapping[str, Any], name: str, default: str = "") -> str:
    """A path segment without the slashes that people put around it."""
    return str(values.get(name) or default).strip("/")


class Resource:
    """A resource type whose API is: write to a path, read from it, delete it.

    ``path`` and ``id`` are templates over the inputs (``{backend}/roles/{name}``). Types with more to them override
    a method.
    """

    def __init__(
        self,
        token: str,
        path: str,
        fields: VaultFields,
        *,
        identity: str | None = None,
        outputs: tuple[str, ...] = (),
        secret_outputs: tuple[str, ...] = (),
        deletes: bool = True,
        body: Callable[[Values], Values] | None = None,
    ) -> None:
        self.token = token
        self.path_template = path
        self.id_template = identity or path
        self.fields: VaultFields = {**fields, "namespace": VaultField(api="", replaces=True)}
        self.outputs = outputs  # computed by the server
        self.secret_outputs = secret_outputs
        self._deletes = deletes
        self._body = body

    # -- names -------------------------------------------------------------------------------------------------------

    def path(self, values: Mapping[str, Any]) -> str:
        return self._fill(self.path_template, values)

    def identity(self, values: Mapping[str, Any]) -> str:
        return self._fill(self.id_template, values)

    def from_id(self, resource_id: str) -> Values:
        """The inputs that an id implies, for an import. Raises VaultError with the form that an id has."""
        names = [name for _, name, _, _ in string.Formatter().parse(self.id_template) if name]
        pattern = re.escape(self.id_template)
        for index, name in enumerate(names):
            # The first part is a mount, which may have slashes in it; so may the last, a name.
            greedy = "(.+)" if index == 0 else "(.+?)"
            pattern = pattern.replace(re.escape("{" + name + "}"), greedy, 1)
        match = re.fullmatch(pattern, resource_id)
        if not match:
            raise VaultError(f"{self.token}: an id has the form {self.id_template!r}, not {resource_id!r}")
        return dict(zip(names, match.groups(), strict=True))

    @staticmethod
    def _fill(template: str, values: Mapping[str, Any]) -> str:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
        return template.format(**{name: given(values, name) for name in names})

    # -- operations --------------------------------------------------------------------------------------------------

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        """Make it; its id and the computed outputs."""
        client.write(self.path(inputs), self.body(inputs))
        return self.identity(inputs), self.computed(client, inputs)

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        """Change it; the computed outputs."""
        client.write(self.path(new), {**self.resets(old, new), **self.body(new)})
        return self.computed(client, new)

    def read(self, client: VaultClient, known: Values) -> Values | None:
        """All that the server tells of it, inputs and outputs; None where it is gone."""
        data = client.data(self.path(known))
        return None if data is None else self.told(data, known)

    def delete(self, client: VaultClient, state: Values) -> None:
        if self._deletes:
            client.delete(self.path(state))

    def computed(self, client: VaultClient, inputs: Values) -> Values:
        """The computed outputs after a write."""
        if not self.outputs:
            return {}
        live = self.read(client, inputs) or {}
        return {name: live[name] for name in self.outputs if name in live}

    # -- between properties and the API's fields -----------------------------------------------------------------------

    def body(self, inputs: Values) -> Values:
        """What to send."""
        sent = api_body(inputs, self.fields)
        return {**sent, **(self._body(inputs) if self._body else {})}

    def resets(self, old: Values, new: Values) -> Values:
        """A field that the program gave before and no longer does goes back to nothing: the API keeps what is not sent."""
        return {
            field.api or snake(name): _NOTHING[field.shape]
            for name, field in self.fields.items()
            if field.api != "" and not field.write_only and not field.computed
            and old.get(name) is not None and new.get(name) is None
        }  # fmt: skip

    def told(self, data: Mapping[str, Any], known: Values) -> Values:
        """An answer's fields as properties, with what no answer has."""
        return properties(data, known, self.fields)


def api_body(inputs: Mapping[str, Any], fields: VaultFields) -> Values:
    """The given inputs under the API's names."""
    return {
        field.api or snake(name): inputs[name]
        for name, field in fields.items()
        if field.api != "" and inputs.get(name) is not None
    }


def properties(data: Mapping[str, Any], known: Mapping[str, Any], fields: VaultFields) -> Values:
    """An answer as properties.

    What the API does not tell stays as known. A field at its nothing ("" or 0 or []) that the program never gave is left out.
    """
    result: Values = {}
    for name, field in fields.items():
        key = field.read_api or field.api or snake(name)
        if field.write_only or field.api == "" or key not in data:
            if known.get(name) is not None:
                result[name] = known[name]
            continue
        value = converted(data[key], field)
        if name not in known and (value == _NOTHING[field.shape] or value is None or value == field.default):
            continue
        if value is None:
            value = _NOTHING[field.shape]
        before = known.get(name)
        if field.shape == "set" and isinstance(before, list) and sorted(map(str, before)) == sorted(map(str, value)):
            value = before
        result[name] = value
    return result


def converted(value: Any, field: Field) -> Any:
    """As the property's type: the API answers some numbers as text, some durations as 1h2m3s."""
    if field.shape == "integer" and isinstance(value, str):
        return seconds(value)
    if field.shape == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    return value


_UNITS = {"h": 3600, "m": 60, "s": 1}


def seconds(text: str) -> int:
    """``1h2m3s`` or ``3723`` as a number of seconds."""
    if not text:
        return 0
    if text.isdigit():
        return int(text)
    return sum(int(float(number) * _UNITS[unit]) for number, unit in re.findall(r"([\d.]+)([hms])(?!s)", text))
