"""What the provider's resource types have in common. Works on plain data; the provider adds marks and unknowns."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.providers.aws.clients import Clients
from sandbox.providers.aws.policies import same_policy
from sandbox.providers.tables import Field, Fields

Values = dict[str, Any]

NAME_PREFIX = Field(replaces=True)
POLICY = Field(required=True, same=same_policy)
TAGS = Field(shape="map")
REGION = Field(computed=True, replaces=True)


class AwsResource:
    """One resource type: its fields and outputs, and what AWS's API is asked for it.

    ``autoname``: a name is made up where none is given, at most that long. ``tagsAll`` comes with the inputs: the
    provider's default tags and the resource's own.
    """

    kind: ClassVar[str]
    fields: ClassVar[Fields]
    outputs: tuple[str, ...] = ()
    secret_outputs: tuple[str, ...] = ()
    autoname: int | None = None
    autoname_prefix: str = ""

    def identity(self, values: Values) -> str:
        """What no two resources may share, as one text; empty where AWS makes it up."""
        del values
        return ""

    def from_id(self, resource_id: str) -> Values:
        return {"id": resource_id}

    def create(self, aws: Clients, inputs: Values) -> tuple[str, Values]:
        raise NotImplementedError

    def update(self, aws: Clients, old: Values, new: Values) -> Values:
        raise NotImplementedError

    def read(self, aws: Clients, known: Values) -> Values | None:
        raise NotImplementedError

    def delete(self, aws: Clients, state: Values) -> None:
        raise NotImplementedError

    def computed(self, aws: Clients, resource_id: str, inputs: Values) -> Values:
        """The outputs, and the inputs that AWS decided, after a write."""
        live = self.read(aws, {**inputs, "id": resource_id}) or {}
        decided = [name for name, field in self.fields.items() if field.computed and inputs.get(name) is None]
        return {name: live[name] for name in (*self.outputs, *decided) if name in live}


def region_of(arn: str) -> str:
    """The region that an ARN names; empty for what is no ARN."""
    return arn.split(":")[3] if arn.startswith("arn:") else ""


def tag_list(tags: dict[str, str] | None, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """{name: value} as the API's list."""
    return [{key: name, value: text} for name, text in (tags or {}).items()]


def tag_map(tags: list[dict[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """The API's list as {name: value}."""
    return {one[key]: one[value] for one in tags or []}


def changed_tags(old: Values, new: Values) -> tuple[dict[str, str], list[str]]:
    """Tags to set and names to remove."""
    before, after = old.get("tagsAll") or {}, new.get("tagsAll") or {}
    return {k: v for k, v in after.items() if before.get(k) != v}, sorted(before.keys() - after.keys())


def shown_tags(live: dict[str, str], known: Values) -> Values:
    """``tags`` as the program would write them (without the provider's defaults), and ``tagsAll``."""
    defaults = {k: v for k, v in (known.get("tagsAll") or {}).items() if k not in (known.get("tags") or {})}
    own = {k: v for k, v in live.items() if defaults.get(k) != v}
    # An empty map that the program gave stays one; none is none.
    return {**({"tags": own} if own or known.get("tags") is not None else {}), "tagsAll": live}
