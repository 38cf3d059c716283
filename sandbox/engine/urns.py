"""URNs: ``urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME``, and provider references ``URN::ID``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"
INDEX = "index"


@dataclass(frozen=True, slots=True)
class Alias:
    """An earlier identity of a resource: a whole URN, or the parts that differ from the present ones."""

    urn: str = ""
    name: str = ""
    type: str = ""
    project: str = ""
    stack: str = ""
    parent: str = ""
    no_parent: bool = False


def qualified_type(urn: str) -> str:
    """The type part with the parents' types, ``a:b:C$d:e:F``."""
    return urn.split("::", 3)[2]


def type_of(urn: str) -> str:
    """The resource's own type."""
    return qualified_type(urn).rpartition("$")[2]


def name_of(urn: str) -> str:
    """The resource's name (which may hold ``::``)."""
    return urn.split("::", 3)[3]


def make(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN of a resource below ``parent`` (a URN; empty or the stack's for the top)."""
    prefix = ""
    if parent:
        qualified = qualified_type(parent)
        if qualified != STACK_TYPE:
            prefix = qualified + "$"
    return f"urn:pulumi:{stack}::{project}::{prefix}{type_}::{name}"


def moved(urn: str, parent: str) -> str:
    """The URN of the same resource below another parent."""
    stack, project, _ = urn.removeprefix("urn:pulumi:").split("::", 2)
    return make(stack, project, parent, type_of(urn), name_of(urn))


def is_provider(type_: str) -> bool:
    return type_.startswith(PROVIDER_PREFIX)


def package_of(type_: str) -> str:
    """The package of a type or function token; of ``pulumi:providers:aws`` that is ``aws``."""
    return type_[len(PROVIDER_PREFIX) :] if is_provider(type_) else type_.partition(":")[0]


def split_reference(reference: str) -> tuple[str, str]:
    """A provider reference's URN and ID."""
    urn, _, identifier = reference.rpartition("::")
    return urn, identifier


def is_default_provider(urn: str) -> bool:
    """Whether the URN is that of a provider which the engine made itself."""
    if not is_provider(qualified_type(urn)):
        return False
    name = name_of(urn)
    return name == "default" or name.startswith("default_")


def default_provider_name(version: str, url: str = "") -> str:
    """``default_1_0_0`` for version 1.0.0, with the place that its plugin would be downloaded from where one is given."""
    parts = ["default"]
    if version:
        parts.append(re.sub(r"[^0-9A-Za-z]+", "_", version))
    if url:
        parts.append("/".join(part for part in re.sub(r"[^\w./-]|-", "_", url).split("/") if part))
    return "_".join(parts)


def collapse(alias: Alias, stack: str, project: str, parent: str, type_: str, name: str, parent_alias: str) -> str:
    """The URN that an alias stands for.

    ``parent_alias`` is the earlier URN of the alias's own parent, where that was found by an alias itself.
    """
    if alias.urn:
        return alias.urn
    above = (parent_alias or alias.parent) if alias.parent else parent
    if alias.no_parent:
        above = ""
    return make(alias.stack or stack, alias.project or project, above, alias.type or type_, alias.name or name)


def inherited(parent_alias: str, parent_name: str, stack: str, project: str, type_: str, name: str) -> str:
    """The URN that a child had when its parent still had the URN ``parent_alias``.

    A child named after its parent (``app-function`` of ``app``) followed the parent's earlier name.
    """
    if name.startswith(parent_name):
        name = name_of(parent_alias) + name[len(parent_name) :]
    return make(stack, project, parent_alias, type_, name)


def expand(
    aliases: Sequence[Alias], stack: str, project: str, parent: str, type_: str, name: str, used: dict[str, str]
) -> list[str]:
    """Every earlier URN of a resource, in the order in which they are looked for.

    ``used`` maps a URN of this run to the earlier one under which it was found.
    """
    own = [collapse(alias, stack, project, parent, type_, name, used.get(alias.parent, "")) for alias in aliases]
    found = dict.fromkeys(own)
    parent_alias = used.get(parent, "") if parent else ""
    if parent_alias:
        parent_name = name_of(parent)
        found[inherited(parent_alias, parent_name, stack, project, type_, name)] = None
        for urn in own:
            found[inherited(parent_alias, parent_name, stack, project, type_of(urn), name_of(urn))] = None
    return list(found)
