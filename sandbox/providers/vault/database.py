"""The database engine: connections, dynamic roles, static roles.

A password is sent when the resource is created and when it changes, never again: an update of another setting must not
put back a root password that Vault has rotated since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.leases import revoke_of_connection, revoke_of_role
from sandbox.providers.vault.resource import Resource, Values, VaultField, VaultFields, api_body, given, properties

_USER_PASS: VaultFields = {
    "connectionUrl": VaultField(),
    "username": VaultField(),
    "password": VaultField(secret=True, write_only=True),
    "passwordWo": VaultField(secret=True, write_only=True, silent=True, api=""),
    "passwordWoVersion": VaultField(shape="integer", api=""),
    "usernameTemplate": VaultField(),
    "maxOpenConnections": VaultField(shape="integer", computed=True),
    "maxIdleConnections": VaultField(shape="integer", computed=True),
    "maxConnectionLifetime": VaultField(shape="integer", computed=True),
    "tlsCa": VaultField(write_only=True),
}
_POSTGRES: VaultFields = {
    **_USER_PASS,
    "disableEscaping": VaultField(shape="boolean"),
    "passwordAuthentication": VaultField(choices=("password", "scram-sha-256")),
    "privateKey": VaultField(secret=True, write_only=True),
    "tlsCertificate": VaultField(write_only=True),
}
_MYSQL: VaultFields = {**_USER_PASS, "tlsCertificateKey": VaultField(secret=True, write_only=True)}

# Property of the connection -> (default plugin, its fields).
ENGINES: Mapping[str, tuple[str, VaultFields]] = {
    "postgresql": ("postgresql-database-plugin", _POSTGRES),
    "mysql": ("mysql-database-plugin", _MYSQL),
    "mysqlAurora": ("mysql-aurora-database-plugin", _MYSQL),
    "mysqlRds": ("mysql-rds-database-plugin", _MYSQL),
    "mysqlLegacy": ("mysql-legacy-database-plugin", _MYSQL),
}


class Connection(Resource):
    """vault:database/secretBackendConnection:SecretBackendConnection, for the engines of ``ENGINES``."""

    def __init__(self) -> None:
        super().__init__(
            "vault:database/secretBackendConnection:SecretBackendConnection",
            "{backend}/config/{name}",
            {
                "backend": VaultField(required=True, replaces=True, api=""),
                "name": VaultField(replaces=True, api="", autoname=True),
                "allowedRoles": VaultField(shape="list"),
                "rootRotationStatements": VaultField(shape="list", read_api="root_credentials_rotate_statements"),
                "verifyConnection": VaultField(shape="boolean", default=True, write_only=True),
                "passwordPolicy": VaultField(),
                "pluginName": VaultField(computed=True),
                "pluginVersion": VaultField(),
                "data": VaultField(shape="map", api="", write_only=True),
                **{
                    engine: VaultField(shape="object", api="", fields=fields) for engine, (_, fields) in ENGINES.items()
                },
            },
        )

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        client.write(self.path(inputs), {**self.body(inputs), **self._password({}, inputs)})
        return self.identity(inputs), {}

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        was = self._engine_body(old)
        cleared = {key: type(value)() for key, value in was.items() if key not in self._engine_body(new)}
        body = {**self.resets(old, new), **cleared, **self.body(new), **self._password(old, new)}
        client.write(self.path(new), body)
        return {}

    def body(self, inputs: Values) -> Values:
        engine, plugin, _ = _engine(inputs)
        name = {"plugin_name": inputs.get("pluginName") or plugin} if engine or inputs.get("pluginName") else {}
        return {**super().body(inputs), **name, **self._engine_body(inputs), **(inputs.get("data") or {})}

    @staticmethod
    def _engine_body(inputs: Values) -> Values:
        engine, _, fields = _engine(inputs)
        sent = api_body(inputs.get(engine) or {}, fields)
        sent.pop("password", None)
        if "max_connection_lifetime" in sent:
            sent["max_connection_lifetime"] = f"{sent['max_connection_lifetime']}s"
        return sent

    @staticmethod
    def _password(old: Values, new: Values) -> Values:
        """The password, where it is new: another value, or another version of the write-only one."""
        engine, _, _ = _engine(new)
        was, now = old.get(engine) or {}, new.get(engine) or {}
        if now.get("passwordWo") is not None:
            changed = not was or now.get("passwordWoVersion") != was.get("passwordWoVersion")
            return {"password": now["passwordWo"]} if changed else {}
        if now.get("password") is not None and now["password"] != was.get("password"):
            return {"password": now["password"]}
        return {}

    def told(self, data: Mapping[str, Any], known: Values) -> Values:
        result = super().told(data, known)
        details = data.get("connection_details") or {}
        engine, _, fields = _engine(known)
        if not engine:
            plugin = data.get("plugin_name")
            engine = next((name for name, (default, _) in ENGINES.items() if default == plugin), "")
            fields = ENGINES[engine][1] if engine else {}
        if engine:
            result[engine] = properties(details, known.get(engine) or {}, fields)
            if "pluginName" not in known and data.get("plugin_name") == ENGINES[engine][0]:
                result.pop("pluginName", None)
        return result

    def delete(self, client: VaultClient, state: Values) -> None:
        if client.data(self.path(state)) is None:
            return
        revoke_of_connection(client, given(state, "backend"), given(state, "name"))
        client.delete(self.path(state))


def _engine(inputs: Mapping[str, Any]) -> tuple[str, str, VaultFields]:
    """Which engine the inputs configure: its property, default plugin and fields; empty for none."""
    for engine, (plugin, fields) in ENGINES.items():
        if inputs.get(engine) is not None:
            return engine, plugin, fields
    return "", "", {}


CONNECTION = Connection()

_ROLE_COMMON: VaultFields = {
    "backend": VaultField(required=True, replaces=True, api=""),
    "name": VaultField(replaces=True, api="", autoname=True),
    "dbName": VaultField(required=True, replaces=True),
    "credentialType": VaultField(computed=True),
    "credentialConfig": VaultField(shape="map"),
}


class DynamicRole(Resource):
    """vault:database/secretBackendRole:SecretBackendRole. Its users end with it: their leases are revoked first."""

    def delete(self, client: VaultClient, state: Values) -> None:
        if client.data(self.path(state)) is None:
            return
        revoke_of_role(client, given(state, "backend"), given(state, "name"))
        client.delete(self.path(state))


ROLE = DynamicRole(
    "vault:database/secretBackendRole:SecretBackendRole",
    "{backend}/roles/{name}",
    {
        **_ROLE_COMMON,
        "creationStatements": VaultField(shape="list", required=True),
        "revocationStatements": VaultField(shape="list"),
        "rollbackStatements": VaultField(shape="list"),
        "renewStatements": VaultField(shape="list"),
        "defaultTtl": VaultField(shape="integer"),
        "maxTtl": VaultField(shape="integer"),
    },
)


class StaticRole(Resource):
    """vault:database/secretBackendStaticRole:SecretBackendStaticRole."""

    def __init__(self) -> None:
        super().__init__(
            "vault:database/secretBackendStaticRole:SecretBackendStaticRole",
            "{backend}/static-roles/{name}",
            {
                **_ROLE_COMMON,
                "username": VaultField(required=True, replaces=True),
                "rotationPeriod": VaultField(shape="integer"),
                "rotationSchedule": VaultField(),
                "rotationWindow": VaultField(shape="integer"),
                "rotationStatements": VaultField(shape="list"),
                "selfManagedPassword": VaultField(secret=True, write_only=True),
                "passwordWo": VaultField(secret=True, write_only=True, silent=True, api=""),
                "passwordWoVersion": VaultField(shape="integer", api=""),
                "skipImportRotation": VaultField(shape="boolean", write_only=True),
            },
        )

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        password = {"password": inputs["passwordWo"]} if inputs.get("passwordWo") is not None else {}
        client.write(self.path(inputs), {**self.body(inputs), **password})
        return self.identity(inputs), {}

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        changed = new.get("passwordWoVersion") != old.get("passwordWoVersion")
        password = {"password": new["passwordWo"]} if changed and new.get("passwordWo") is not None else {}
        # A schedule and a period exclude each other, so the old one is not sent as nothing beside the new one.
        rotation = {"rotation_period", "rotation_schedule", "rotation_window"}
        resets = {key: value for key, value in self.resets(old, new).items() if key not in rotation}
        client.write(self.path(new), {**resets, **self.body(new), **password})
        return {}

    def body(self, inputs: Values) -> Values:
        body = super().body(inputs)
        for key in ("rotation_period", "rotation_window"):
            if key in body:
                body[key] = f"{body[key]}s"
        return body


STATIC_ROLE = StaticRole()
