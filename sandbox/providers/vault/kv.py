"""KV version 2, and the generic resources that read and write any path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import InvalidInput, VaultApiError
from sandbox.providers.vault.resource import Resource, Values, VaultField, given, seconds


def parsed(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A property that holds a JSON object as text. The error does not quote it: it is a secret."""
    try:
        data = json.loads(values[name])
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InvalidInput(name, f"{name} must be a JSON object as text, such as json.dumps({{...}})")
    return data


def texts(data: Mapping[str, Any]) -> dict[str, str]:
    """The ``data`` output: strings as they are, anything else as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}


def same_json(text: str | None, data: Any) -> bool:
    try:
        return text is not None and bool(json.loads(text) == data)
    except ValueError:
        return False


def canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


class SecretV2(Resource):
    """vault:kv/secretV2:SecretV2."""

    def __init__(self) -> None:
        super().__init__(
            "vault:kv/secretV2:SecretV2",
            "{mount}/data/{name}",
            {
                "mount": VaultField(required=True, replaces=True),
                "name": VaultField(replaces=True, autoname=True),
                "dataJson": VaultField(secret=True),
                "dataJsonWo": VaultField(secret=True, silent=True),
                "dataJsonWoVersion": VaultField(shape="integer"),
                "cas": VaultField(shape="integer"),
                "options": VaultField(shape="map"),
                "disableRead": VaultField(shape="boolean", default=False),
                "deleteAllVersions": VaultField(shape="boolean", default=False),
                "customMetadata": VaultField(
                    shape="object",
                    fields={
                        "maxVersions": VaultField(shape="integer", computed=True),
                        "casRequired": VaultField(shape="boolean", computed=True),
                        "deleteVersionAfter": VaultField(shape="integer", computed=True),
                        "data": VaultField(shape="map"),
                    },
                ),
            },
            outputs=("path", "data", "metadata"),
            secret_outputs=("data",),
        )

    def from_id(self, resource_id: str) -> Values:
        mount, slash, name = resource_id.partition("/data/")
        if not slash:
            raise InvalidInput("id", f"a KV version 2 secret's id has the form MOUNT/data/NAME, not {resource_id!r}")
        return {"mount": mount, "name": name}

    def _metadata_path(self, values: Mapping[str, Any]) -> str:
        return f"{given(values, 'mount')}/metadata/{given(values, 'name')}"

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        self._write_data(client, inputs)
        self._write_metadata(client, {}, inputs)
        return self.identity(inputs), self.computed(client, inputs)

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        versioned = new.get("dataJsonWoVersion") != old.get("dataJsonWoVersion")
        if (new.get("dataJsonWo") is not None and versioned) or new.get("dataJson") != old.get("dataJson"):
            self._write_data(client, new)
        self._write_metadata(client, old, new)
        return self.computed(client, new)

    def _write_data(self, client: VaultClient, inputs: Values) -> None:
        source = "dataJsonWo" if inputs.get("dataJsonWo") is not None else "dataJson"
        options = dict(inputs.get("options") or {})
        if inputs.get("cas") is not None:
            options["cas"] = inputs["cas"]
        body = {"data": parsed(inputs, source), **({"options": options} if options else {})}
        client.write(self.path(inputs), body)

    def _write_metadata(self, client: VaultClient, old: Values, new: Values) -> None:
        wanted, was = new.get("customMetadata"), old.get("customMetadata")
        if wanted == was:
            return
        wanted = wanted or {}
        client.write(
            self._metadata_path(new),
            {
                "max_versions": wanted.get("maxVersions") or 0,
                "cas_required": wanted.get("casRequired") or False,
                "delete_version_after": f"{wanted.get('deleteVersionAfter') or 0}s",
                "custom_metadata": wanted.get("data") or {},
            },
        )

    def computed(self, client: VaultClient, inputs: Values) -> Values:
        answer = client.data(self.path(inputs)) or {}
        write_only = inputs.get("dataJsonWo") is not None or inputs.get("disableRead")
        return {
            "path": self.identity(inputs),
            "data": {} if write_only else texts(answer.get("data") or {}),
            "metadata": texts(
                {key: value for key, value in (answer.get("metadata") or {}).items() if value is not None}
            ),
        }

    def read(self, client: VaultClient, known: Values) -> Values | None:
        if known.get("disableRead"):
            return dict(known)
        answer = client.data(self.path(known))
        if answer is None:
            return None
        data, result = answer.get("data") or {}, dict(known)
        write_only = known.get("dataJsonWo") is not None
        if not write_only and not same_json(known.get("dataJson"), data):
            result["dataJson"] = canonical(data)
        if known.get("customMetadata") is not None:
            live = client.data(self._metadata_path(known)) or {}
            told: Values = {
                "maxVersions": live.get("max_versions") or 0,
                "casRequired": bool(live.get("cas_required")),
                "deleteVersionAfter": seconds(live.get("delete_version_after") or ""),
                "data": live.get("custom_metadata") or {},
            }
            result["customMetadata"] = {name: told[name] for name in known["customMetadata"] if name in told}
        metadata = {key: value for key, value in (answer.get("metadata") or {}).items() if value is not None}
        return {
            **result,
            "path": self.identity(known),
            "data": {} if write_only else texts(data),
            "metadata": texts(metadata),
        }

    def delete(self, client: VaultClient, state: Values) -> None:
        client.delete(self._metadata_path(state) if state.get("deleteAllVersions") else self.path(state))


def real_path(client: VaultClient, path: str) -> tuple[str, bool]:
    """The path that a KV version 2 engine wants for data (``secret/app`` -> ``secret/data/app``), and whether it is one."""
    try:
        info = client.data(f"sys/internal/ui/mounts/{path}") or {}
    except VaultApiError:
        return path, False
    mount = str(info.get("path") or "")
    if info.get("type") != "kv" or (info.get("options") or {}).get("version") != "2":
        return path, False
    rest = path.removeprefix(mount).removeprefix("data/")
    return f"{mount}data/{rest}", True


class GenericSecret(Resource):
    """vault:generic/secret:Secret: a secret by its whole path, in KV of either version."""

    def __init__(self) -> None:
        super().__init__(
            "vault:generic/secret:Secret",
            "{path}",
            {
                "path": VaultField(required=True, replaces=True),
                "dataJson": VaultField(required=True, secret=True),
                "disableRead": VaultField(shape="boolean", default=False),
                "deleteAllVersions": VaultField(shape="boolean", default=False),
            },
            outputs=("data",),
            secret_outputs=("data",),
        )

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        path, versioned = real_path(client, self.path(inputs))
        data = parsed(inputs, "dataJson")
        client.write(path, {"data": data} if versioned else data)
        return self.identity(inputs), {"data": texts(data)}

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        del old
        return self.create(client, new)[1]

    def read(self, client: VaultClient, known: Values) -> Values | None:
        if known.get("disableRead"):
            return dict(known)
        path, versioned = real_path(client, self.path(known))
        answer = client.data(path)
        if answer is None:
            return None
        data = (answer.get("data") or {}) if versioned else answer
        text = known["dataJson"] if same_json(known.get("dataJson"), data) else canonical(data)
        return {**known, "dataJson": text, "data": texts(data)}

    def delete(self, client: VaultClient, state: Values) -> None:
        path, versioned = real_path(client, self.path(state))
        if versioned and state.get("deleteAllVersions"):
            path = path.replace("/data/", "/metadata/", 1)
        client.delete(path)


class GenericEndpoint(Resource):
    """vault:generic/endpoint:Endpoint: write to any path; read it back and delete it unless told not to."""

    def __init__(self) -> None:
        super().__init__(
            "vault:generic/endpoint:Endpoint",
            "{path}",
            {
                "path": VaultField(required=True, replaces=True),
                "dataJson": VaultField(required=True, secret=True),
                "disableRead": VaultField(shape="boolean", default=False),
                "disableDelete": VaultField(shape="boolean", default=False),
                "ignoreAbsentFields": VaultField(shape="boolean", default=False),
                "writeFields": VaultField(shape="list"),
            },
            outputs=("writeData", "writeDataJson"),
            secret_outputs=("writeData", "writeDataJson"),
        )

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        answer = client.write(self.path(inputs), parsed(inputs, "dataJson"))
        # What is asked for may be in the answer's data, or, for a login, in its auth.
        told = {**(answer.get("auth") or {}), **(answer.get("data") or {})}
        kept = {name: told[name] for name in inputs.get("writeFields") or [] if name in told}
        return self.identity(inputs), {"writeData": texts(kept), "writeDataJson": canonical(kept)}

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        if old.get("dataJson") == new.get("dataJson") and old.get("writeFields") == new.get("writeFields"):
            return {name: old[name] for name in self.outputs if name in old}
        return self.create(client, new)[1]

    def read(self, client: VaultClient, known: Values) -> Values | None:
        if known.get("disableRead"):
            return dict(known)
        live = client.data(self.path(known))
        if live is None:
            return None
        if known.get("dataJson") is None:
            return {**known, "dataJson": canonical(live)}
        # Only what was written is compared: an endpoint tells more than was put into it.
        wanted = parsed(known, "dataJson")
        ignore = known.get("ignoreAbsentFields")
        now = {name: live.get(name) for name in wanted if name in live or not ignore}
        if ignore:
            now = {**wanted, **now}
        return dict(known) if now == wanted else {**known, "dataJson": canonical(now)}

    def delete(self, client: VaultClient, state: Values) -> None:
        if not state.get("disableDelete"):
            client.delete(self.path(state))


SECRET_V2 = SecretV2()
GENERIC_SECRET = GenericSecret()
GENERIC_ENDPOINT = GenericEndpoint()
