"""What differs between two versions of an object's inputs, and what of it the API cannot change in place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from pulumi.provider.experimental.provider import PropertyDiff, PropertyDiffKind

from sandbox.providers.tables import below

Path = tuple[str | int, ...]
Change = Literal["ADD", "DELETE", "UPDATE"]

# Fields that a change of which replaces the object, as in the real provider ("forceNew"): by group and kind.
# A path covers what lies below it. Container fields of a Pod are left to its whole spec: a Pod's spec is immutable
# but for an image here and there, and nothing runs Pods here.
_SELECTOR = (("spec", "selector"),)
_EVERY_KIND: tuple[Path, ...] = (("metadata", "name"), ("metadata", "namespace"))
_DATA = (("data",), ("binaryData",), ("stringData",))
_REPLACES: dict[tuple[str, str], tuple[Path, ...]] = {
    ("", "ConfigMap"): (("immutable",), *_DATA),
    ("", "Secret"): (("type",), ("immutable",), *_DATA),
    ("", "Pod"): (("spec",),),
    ("", "PersistentVolumeClaim"): (("spec",),),
    ("", "ResourceQuota"): (("spec", "scopes"),),
    ("", "Service"): (("spec", "clusterIP"), ("spec", "type")),
    ("apps", "DaemonSet"): _SELECTOR,
    ("apps", "Deployment"): _SELECTOR,
    ("apps", "StatefulSet"): (
        *_SELECTOR,
        ("spec", "podManagementPolicy"),
        ("spec", "revisionHistoryLimit"),
        ("spec", "serviceName"),
        ("spec", "volumeClaimTemplates"),
    ),
    ("batch", "Job"): (*_SELECTOR, ("spec", "template")),
    ("rbac.authorization.k8s.io", "RoleBinding"): (("roleRef",),),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (("roleRef",),),
    ("storage.k8s.io", "StorageClass"): (("parameters",), ("provisioner",)),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        ("spec", "group"),
        ("spec", "scope"),
        ("spec", "names", "plural"),
    ),
}


def replacing(api_version: str, kind: str, *, mutable: bool) -> tuple[Path, ...]:
    """The paths whose change replaces an object of this kind.

    ``mutable``: the provider was told that ConfigMaps or Secrets may change in place (enableConfigMapMutable,
    enableSecretMutable); by default a change of their data replaces them, as with the real provider.
    """
    group = api_version.rpartition("/")[0]
    paths = _REPLACES.get((group, kind), ())
    if mutable:
        paths = tuple(path for path in paths if path not in _DATA)
    return _EVERY_KIND + paths


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, Change]]:
    """Each place where ``new`` differs from ``old``, as deep as both have the same shape."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            if key not in new:
                yield (*path, key), "DELETE"
            elif key not in old:
                yield (*path, key), "ADD"
            else:
                yield from differences(old[key], new[key], (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            if index >= len(new):
                yield (*path, index), "DELETE"
            elif index >= len(old):
                yield (*path, index), "ADD"
            else:
                yield from differences(old[index], new[index], (*path, index))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, "UPDATE"


def detailed(
    old: Any, new: Any, replaced: tuple[Path, ...], ignored: Collection[str]
) -> tuple[dict[str, PropertyDiff], list[str]]:
    """The differences as the protocol has them, by dotted path, without the ignored ones; and the paths that replace."""
    found: dict[str, PropertyDiff] = {}
    replaces: list[str] = []
    for path, change in differences(old, new):
        place = dotted(path)
        if any(below(place, each) for each in ignored):
            continue
        replace = touches(path, replaced)
        found[place] = PropertyDiff(PropertyDiffKind[change + ("_REPLACE" if replace else "")], input_diff=True)
        if replace:
            replaces.append(place)
    return found, sorted(replaces)


def touches(path: Path, replaced: tuple[Path, ...]) -> bool:
    """Whether a change at ``path`` changes one of the ``replaced`` fields: above, at or below it."""
    return any(path[: len(rule)] == rule or rule[: len(path)] == path for rule in replaced)


def dotted(path: Path) -> str:
    """The path as Pulumi writes it: ``spec.data[0].secretKey``, ``metadata.annotations["a.b/c"]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif "." in part or '"' in part or "[" in part:
            quoted = part.replace('"', '\\"')
            text += f'["{quoted}"]'
        else:
            text += f".{part}" if text else part
    return text
