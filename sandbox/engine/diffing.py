"""What differs between a resource and what is wanted of it: the provider's answer, made complete as Pulumi's engine does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox.engine import paths
from sandbox.engine.objects import object_diff
from sandbox.engine.providers import Diff, Provider
from sandbox.engine.values import Properties

if TYPE_CHECKING:
    from sandbox.engine.registry import ProviderResources
    from sandbox.engine.state import Resource

INIT_ERROR = "#initerror"


async def diff_resource(
    provider: Provider | ProviderResources, old: Resource, inputs: Properties, ignored: Sequence[str]
) -> Diff:
    """The provider's diff between a resource and new inputs; where it does not know, the inputs decide."""
    diff = await provider.diff(old.urn, old.id, old.outputs, inputs, ignored)
    if diff.changes is None:
        diff.detailed = object_diff(old.inputs, paths.with_ignored(inputs, old.inputs, ignored))
        diff.changed_keys = sorted({str(paths.parse(path)[0]) for path in diff.detailed})
        diff.changes = bool(diff.detailed)
    return diff


def replace_on_changes(diff: Diff, wanted: Sequence[str], *, init_errors: bool) -> Diff:
    """Turn changes at the named paths into replacements."""
    if not wanted or not (diff.changes or init_errors):
        return diff
    diff.detailed = {
        path: change.replacing() if paths.covers(wanted, path) else change for path, change in diff.detailed.items()
    }
    for key in diff.changed_keys:
        if key not in diff.replace_keys and paths.covers(wanted, key):
            diff.replace_keys.append(key)
    if init_errors and paths.covers(wanted, INIT_ERROR):
        diff.replace_keys.append(INIT_ERROR)
        diff.changes = True
    return diff
