"""The record of a release, as Helm 3 keeps it: a Secret ``sh.helm.release.v1.NAME.vREVISION`` that ``helm list`` can read.

It holds the values, so it is a Secret as there. Of superseded revisions only the newest is kept.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.providers.kubernetes.api import Api, Kind, Object
from sandbox.providers.kubernetes.helm.chart import Release

SECRET = Kind("v1", "Secret", "secrets", True)
TYPE = "helm.sh/release.v1"
MANAGER = "Helm"
OWNER_LABEL = "pulumi.com/field-manager"  # which resource of which program made it: told by its URN


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One object of a release."""

    api_version: str
    kind: str
    namespace: str  # "" for one of the whole cluster
    name: str

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Reference:
        metadata = obj["metadata"]
        return cls(
            api_version=obj["apiVersion"],
            kind=obj["kind"],
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
        )

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def group_kind(self) -> str:
        """``KIND.GROUP/VERSION``, the key of the resource's `resourceNames`."""
        return f"{self.kind}.{self.api_version}" if self.api_version != "v1" else f"{self.kind}/v1"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One revision of a release as it is stored."""

    release: Release
    revision: int
    status: str  # pending-install, pending-upgrade, deployed, failed
    app_version: str
    values: Mapping[str, Any]
    objects: Sequence[Reference]
    crds: Sequence[str]
    controller: str  # the host process's name, "" for none
    owner: str
    made_namespace: bool


def load(api: Api, namespace: str, name: str) -> Record | None:
    """The newest revision; None where there is no such release."""
    found = api.list(SECRET, namespace, f"owner=helm,name={name}")
    found = [each for each in found if each.get("type") == TYPE]
    if not found:
        return None
    newest = max(found, key=lambda each: int(each["metadata"]["labels"].get("version", 0)))
    data = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(newest["data"]["release"]))))
    metadata, own = data["chart"]["metadata"], data.get("strongroom", {})
    return Record(
        release=Release(
            name=data["name"], namespace=data["namespace"], chart=metadata["name"], version=metadata["version"]
        ),
        revision=int(data["version"]),
        status=data["info"]["status"],
        app_version=metadata.get("appVersion", ""),
        values=data.get("config", {}),
        objects=[Reference(**each) for each in own.get("objects", [])],
        crds=own.get("crds", []),
        controller=own.get("controller", ""),
        owner=newest["metadata"]["labels"].get(OWNER_LABEL, ""),
        made_namespace=bool(own.get("madeNamespace")),
    )


def save(api: Api, record: Record) -> None:
    """Write the record, then drop those of older revisions."""
    release = record.release
    now = datetime.datetime.now(datetime.UTC).isoformat()
    data = {
        "name": release.name,
        "namespace": release.namespace,
        "version": record.revision,
        "info": {"status": record.status, "first_deployed": now, "last_deployed": now, "description": record.status},
        "chart": {"metadata": {"name": release.chart, "version": release.version, "appVersion": record.app_version}},
        "config": dict(record.values),
        "manifest": "",
        "strongroom": {
            "objects": [vars(each) for each in record.objects],
            "crds": list(record.crds),
            "controller": record.controller,
            "madeNamespace": record.made_namespace,
        },
    }
    packed = base64.b64encode(gzip.compress(json.dumps(data).encode()))
    labels = {
        "owner": "helm",
        "name": release.name,
        "status": record.status,
        "version": str(record.revision),
        OWNER_LABEL: record.owner,
    }
    body: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": {"name": _name(release.name, record.revision), "namespace": release.namespace, "labels": labels},
        "data": {"release": base64.b64encode(packed).decode()},
    }
    api.apply(SECRET, body, manager=MANAGER, force=True)
    for older in range(max(1, record.revision - 1), record.revision):
        api.delete(SECRET, release.namespace, _name(release.name, older), propagation="Background", uid=None)


def forget(api: Api, record: Record) -> None:
    name = _name(record.release.name, record.revision)
    api.delete(SECRET, record.release.namespace, name, propagation="Background", uid=None)


def _name(name: str, revision: int) -> str:
    return f"sh.helm.release.v1.{name}.v{revision}"
