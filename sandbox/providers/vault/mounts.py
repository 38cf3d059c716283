"""Secret engines, auth methods and audit devices: what is enabled at a path, rather than written to one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import VaultApiError, VaultError
from sandbox.providers.vault.leases import LeaseCount
from sandbox.providers.vault.resource import (
    Resource,
    Values,
    VaultField,
    VaultFields,
    given,
    properties,
    seconds,
    snake,
)

REMOUNT_TIMEOUT = 120.0

_TUNE: VaultFields = {
    "defaultLeaseTtlSeconds": VaultField(shape="integer", api="default_lease_ttl"),
    "maxLeaseTtlSeconds": VaultField(shape="integer", api="max_lease_ttl"),
    "auditNonHmacRequestKeys": VaultField(shape="list"),
    "auditNonHmacResponseKeys": VaultField(shape="list"),
    "listingVisibility": VaultField(),
    "passthroughRequestHeaders": VaultField(shape="list"),
    "allowedResponseHeaders": VaultField(shape="list"),
    "allowedManagedKeys": VaultField(shape="set"),
    "delegatedAuthAccessors": VaultField(shape="list"),
    "identityTokenKey": VaultField(),
}
_MOUNT: VaultFields = {
    "path": VaultField(required=True, api=""),
    "type": VaultField(required=True, replaces=True),
    "description": VaultField(),
    "local": VaultField(shape="boolean", replaces=True),
    "sealWrap": VaultField(shape="boolean", replaces=True),
    "externalEntropyAccess": VaultField(shape="boolean", replaces=True),
    "options": VaultField(shape="map"),
    "forceNoCache": VaultField(shape="boolean", replaces=True),
    "pluginVersion": VaultField(),
    **_TUNE,
}
_AUTH_TUNE: VaultFields = {
    "defaultLeaseTtl": VaultField(computed=True),
    "maxLeaseTtl": VaultField(computed=True),
    "auditNonHmacRequestKeys": VaultField(shape="list", computed=True),
    "auditNonHmacResponseKeys": VaultField(shape="list", computed=True),
    "listingVisibility": VaultField(computed=True),
    "passthroughRequestHeaders": VaultField(shape="list", computed=True),
    "allowedResponseHeaders": VaultField(shape="list", computed=True),
    "tokenType": VaultField(computed=True),
}
_AUTH: VaultFields = {
    "type": VaultField(required=True, replaces=True),
    "path": VaultField(api="", computed=True),
    "description": VaultField(replaces=True),
    "disableRemount": VaultField(shape="boolean", api=""),
    "identityTokenKey": VaultField(),
    "local": VaultField(shape="boolean", replaces=True),
    "tune": VaultField(shape="object", fields=_AUTH_TUNE, api="", computed=True),
}

# Where an engine keeps what people put into it: one that has nothing at any of these was never used.
_CONTENTS: dict[str, tuple[str, ...]] = {
    "database": ("config", "roles", "static-roles"),
    "kv": ("metadata", ""),
    "transit": ("keys",),
    "auth/kubernetes": ("role",),
    "auth/approle": ("role",),
}


class Mount(Resource):
    """vault:index/mount:Mount and, with ``area`` "auth", vault:index/authBackend:AuthBackend."""

    def __init__(self, token: str, area: str, fields: VaultFields) -> None:
        super().__init__(token, f"sys/{area}/{{path}}", fields, identity="{path}", outputs=("accessor",))
        self._area = area
        self._prefix = "auth/" if area == "auth" else ""

    def place(self, values: Mapping[str, Any]) -> str:
        return given(values, "path", str(values.get("type", "")))

    def identity(self, values: Mapping[str, Any]) -> str:
        return self.place(values)

    def from_id(self, resource_id: str) -> Values:
        return {"path": resource_id.strip("/")}

    # -- operations --------------------------------------------------------------------------------------------------

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        place = self.place(inputs)
        body = {**self.body(inputs), "config": self.config(inputs)}
        try:
            client.write(f"sys/{self._area}/{place}", body)
        except VaultApiError as error:
            if "already in use" not in str(error):
                raise
            self._adopt(client, place, inputs, error)
            self._tune(client, place, {}, inputs)
        if (self._area == "auth" and inputs.get("tune")) or inputs.get("options"):
            self._tune(client, place, {}, inputs)
        return place, self.computed(client, inputs)

    def _adopt(self, client: VaultClient, place: str, inputs: Values, refusal: VaultApiError) -> None:
        """Take over what an earlier, killed run enabled: it is of this type, and nothing was ever put into it."""
        live = self._live(client, place)
        wanted = inputs["type"]
        what = f"{self._prefix}{place}/"
        if live is None or live["type"] != wanted:
            found = f"is of type {live['type']!r}, not {wanted!r}" if live else "belongs to a longer path"
            raise VaultError(f"{refusal}; what is there {found}: choose another path or import it") from None
        kinds = _CONTENTS.get(f"{self._prefix}{wanted}")
        used = kinds is None or any(self._listed(client, f"{what}{kind}") for kind in kinds)
        if used or (live.get("description") or "") != (inputs.get("description") or ""):
            raise VaultError(
                f"{refusal}; the {wanted} engine at {what} is not one that an interrupted run left empty: "
                f"import it (id {place!r}) or choose another path"
            ) from None

    @staticmethod
    def _listed(client: VaultClient, path: str) -> bool:
        try:
            answer = client.request("LIST", path)
        except VaultApiError as error:
            if error.code in (404, 405):
                return False
            raise
        return bool((answer.get("data") or {}).get("keys"))

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        before, place = self.place(old), self.place(new)
        if before != place:
            self._remount(client, before, place)
        self._tune(client, place, old, new)
        return self.computed(client, new)

    def _remount(self, client: VaultClient, before: str, after: str) -> None:
        moved = client.write("sys/remount", {"from": f"{self._prefix}{before}", "to": f"{self._prefix}{after}"})
        migration = (moved.get("data") or moved).get("migration_id")
        end = time.monotonic() + REMOUNT_TIMEOUT
        while migration:
            info = (client.data(f"sys/remount/status/{migration}") or {}).get("migration_info", {})
            if info.get("status") == "success":
                return
            if info.get("status") == "failure" or time.monotonic() > end:
                raise VaultError(f"moving {self._prefix}{before}/ to {self._prefix}{after}/: {info.get('status')}")
            time.sleep(0.2)

    def _tune(self, client: VaultClient, place: str, old: Values, new: Values) -> None:
        was, now = self.config(old), self.config(new)
        # "system" is the API's word for a TTL that follows the server's; the other settings go back to nothing.
        back = {key: "system" if key.endswith("_lease_ttl") else type(value)() for key, value in was.items()}
        tuning = {**{key: value for key, value in back.items() if key not in now}, **now}
        if self._area != "auth":
            if new.get("description") is not None or old.get("description") is not None:
                tuning["description"] = new.get("description") or ""
            if new.get("options"):
                tuning["options"] = new["options"]
        if tuning:
            client.write(f"sys/{self._area}/{place}/tune", tuning)

    def read(self, client: VaultClient, known: Values) -> Values | None:
        place = self.place(known)
        live = self._live(client, place)
        if live is None:
            return None
        flat = {**live, **live["config"]}
        result = properties(flat, known, self.fields)
        result = {**result, "path": place, "type": live["type"], "accessor": live["accessor"]}
        if self._area == "auth" and known.get("tune"):
            live_tune = client.data(f"sys/auth/{place}/tune") or {}
            result["tune"] = self._told_tune(live_tune, known["tune"])
        if known.get("disableRemount") is not None:
            result["disableRemount"] = known["disableRemount"]
        return result

    @staticmethod
    def _told_tune(live: Mapping[str, Any], known: Mapping[str, Any]) -> Values:
        told: Values = {}
        for name in known:
            value = live.get(snake(name))
            if name in ("defaultLeaseTtl", "maxLeaseTtl"):
                told[name] = known[name] if seconds(str(known[name])) == value else f"{value}s"
            else:
                told[name] = known[name] if value is None else value
        return told

    def _live(self, client: VaultClient, place: str) -> dict[str, Any] | None:
        try:
            return client.data(f"sys/{self._area}/{place}")
        except VaultApiError as error:
            if error.code == 400 and "No " in str(error):
                return None
            raise

    def delete(self, client: VaultClient, state: Values) -> None:
        """Disable the engine; the server revokes its leases first, and keeps the engine where it cannot."""
        place = self.place(state)
        if self._live(client, place) is None:
            return
        try:
            client.request("DELETE", f"sys/{self._area}/{place}")
        except VaultError as error:
            leases = LeaseCount.below(client, f"{self._prefix}{place}/")
            if not leases:
                raise
            raise VaultError(
                f"{self._prefix}{place}/ cannot be disabled: {leases} cannot be revoked. {error}. Make what they were "
                f"issued for reachable again and retry, or give them up: bao lease revoke -force -prefix {self._prefix}{place}/"
            ) from None
        end = time.monotonic() + REMOUNT_TIMEOUT
        while self._live(client, place) is not None:
            if time.monotonic() > end:
                raise VaultError(f"{self._prefix}{place}/ is still there {REMOUNT_TIMEOUT:g} s after it was disabled")
            time.sleep(0.2)

    # -- fields ------------------------------------------------------------------------------------------------------

    def body(self, inputs: Values) -> Values:
        body = super().body(inputs)
        for name, field in _TUNE.items():
            body.pop(field.api or snake(name), None)
        return {**body, "type": inputs["type"]}

    def config(self, inputs: Mapping[str, Any]) -> Values:
        """The tunable settings under the API's names; durations in seconds."""
        if self._area == "auth":
            tune = inputs.get("tune") or {}
            return {snake(name): value for name, value in tune.items() if value is not None}
        found: Values = {}
        for name, field in _TUNE.items():
            if inputs.get(name) is not None:
                value = inputs[name]
                found[field.api or snake(name)] = f"{value}s" if name.endswith("TtlSeconds") else value
        return found


class Audit(Resource):
    """vault:index/audit:Audit."""

    def __init__(self) -> None:
        super().__init__(
            "vault:index/audit:Audit",
            "sys/audit/{path}",
            {
                "type": VaultField(required=True, replaces=True),
                "path": VaultField(api="", replaces=True, computed=True),
                "description": VaultField(replaces=True),
                "local": VaultField(shape="boolean", replaces=True),
                "options": VaultField(shape="map", required=True, replaces=True),
            },
            identity="{path}",
        )

    def path(self, values: Mapping[str, Any]) -> str:
        return f"sys/audit/{self.identity(values)}"

    def identity(self, values: Mapping[str, Any]) -> str:
        return given(values, "path", str(values.get("type", "")))

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        try:
            client.write(self.path(inputs), self.body(inputs))
        except VaultApiError as error:
            live = self.read(client, inputs) if "already in use" in str(error) else None
            # An audit device holds nothing, so one that is the same in all its settings is taken over.
            if not live or live["type"] != inputs["type"] or live["options"] != inputs["options"]:
                raise
        return self.identity(inputs), {"path": self.identity(inputs)}

    def read(self, client: VaultClient, known: Values) -> Values | None:
        devices = client.read("sys/audit") or {}
        live = (devices.get("data") or {}).get(f"{self.identity(known)}/")
        return None if live is None else {**properties(live, known, self.fields), "path": self.identity(known)}


MOUNT = Mount("vault:index/mount:Mount", "mounts", _MOUNT)
AUTH_BACKEND = Mount("vault:index/authBackend:AuthBackend", "auth", _AUTH)
AUDIT = Audit()
