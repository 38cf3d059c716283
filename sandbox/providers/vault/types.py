"""The table of resource types: what the provider offers, under the names of pulumi-vault 7.14.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.database import CONNECTION, ROLE, STATIC_ROLE
from sandbox.providers.vault.errors import VaultApiError
from sandbox.providers.vault.kv import GENERIC_ENDPOINT, GENERIC_SECRET, SECRET_V2
from sandbox.providers.vault.mounts import AUDIT, AUTH_BACKEND, MOUNT
from sandbox.providers.vault.resource import Resource, Values, VaultField, VaultFields, given

_TOKEN_FIELDS: VaultFields = {
    "tokenTtl": VaultField(shape="integer"),
    "tokenMaxTtl": VaultField(shape="integer"),
    "tokenPeriod": VaultField(shape="integer"),
    "tokenExplicitMaxTtl": VaultField(shape="integer"),
    "tokenPolicies": VaultField(shape="set"),
    "tokenBoundCidrs": VaultField(shape="set"),
    "tokenNoDefaultPolicy": VaultField(shape="boolean"),
    "tokenNumUses": VaultField(shape="integer"),
    "tokenType": VaultField(computed=True, choices=("default", "service", "batch", "default-service", "default-batch")),
}

POLICY = Resource(
    "vault:index/policy:Policy",
    "sys/policies/acl/{name}",
    {"name": VaultField(replaces=True, autoname=True), "policy": VaultField(required=True)},
    identity="{name}",
)
PASSWORD_POLICY = Resource(
    "vault:index/passwordPolicy:PasswordPolicy",
    "sys/policies/password/{name}",
    {"name": VaultField(replaces=True, autoname=True, api=""), "policy": VaultField(required=True)},
    identity="{name}",
)


class KubernetesConfig(Resource):
    """vault:kubernetes/authBackendConfig:AuthBackendConfig. The config goes with its mount; it cannot be deleted."""

    def body(self, inputs: Values) -> Values:
        # A write replaces the whole config, the reviewer's token with it, so it is sent each time.
        token = inputs.get("tokenReviewerJwtWo")
        return {**super().body(inputs), **({"token_reviewer_jwt": token} if token is not None else {})}


KUBERNETES_CONFIG = KubernetesConfig(
    "vault:kubernetes/authBackendConfig:AuthBackendConfig",
    "auth/{backend}/config",
    {
        "backend": VaultField(replaces=True, api="", default="kubernetes"),
        "kubernetesHost": VaultField(required=True),
        "kubernetesCaCert": VaultField(computed=True),
        "tokenReviewerJwt": VaultField(secret=True, write_only=True),
        "tokenReviewerJwtWo": VaultField(secret=True, write_only=True, silent=True, api=""),
        "tokenReviewerJwtWoVersion": VaultField(shape="integer", api=""),
        "pemKeys": VaultField(shape="list"),
        "issuer": VaultField(),
        "disableIssValidation": VaultField(shape="boolean", computed=True),
        "disableLocalCaJwt": VaultField(shape="boolean", computed=True),
    },
    deletes=False,
)
KUBERNETES_ROLE = Resource(
    "vault:kubernetes/authBackendRole:AuthBackendRole",
    "auth/{backend}/role/{roleName}",
    {
        "backend": VaultField(replaces=True, api="", default="kubernetes"),
        "roleName": VaultField(required=True, replaces=True, api=""),
        "boundServiceAccountNames": VaultField(shape="set", required=True),
        "boundServiceAccountNamespaces": VaultField(shape="set"),
        "boundServiceAccountNamespaceSelector": VaultField(),
        "audience": VaultField(),
        "aliasNameSource": VaultField(computed=True, choices=("serviceaccount_uid", "serviceaccount_name")),
        **_TOKEN_FIELDS,
    },
)
APPROLE_ROLE = Resource(
    "vault:appRole/authBackendRole:AuthBackendRole",
    "auth/{backend}/role/{roleName}",
    {
        "backend": VaultField(replaces=True, api="", default="approle"),
        "roleName": VaultField(required=True, replaces=True, api=""),
        "bindSecretId": VaultField(shape="boolean", default=True),
        "secretIdBoundCidrs": VaultField(shape="set"),
        "secretIdNumUses": VaultField(shape="integer"),
        "secretIdTtl": VaultField(shape="integer"),
        **_TOKEN_FIELDS,
    },
)
KV_BACKEND = Resource(
    "vault:kv/secretBackendV2:SecretBackendV2",
    "{mount}/config",
    {
        "mount": VaultField(required=True, replaces=True, api=""),
        "casRequired": VaultField(shape="boolean", computed=True),
        "maxVersions": VaultField(shape="integer", computed=True),
        "deleteVersionAfter": VaultField(shape="integer"),
    },
    deletes=False,
    body=lambda inputs: (
        {"delete_version_after": f"{inputs['deleteVersionAfter']}s"}
        if inputs.get("deleteVersionAfter") is not None
        else {}
    ),
)


class TransitKey(Resource):
    """vault:transit/secretBackendKey:SecretBackendKey. Made by one call, adjusted by another."""

    _ADJUSTED = ("deletionAllowed", "minDecryptionVersion", "minEncryptionVersion", "autoRotatePeriod")

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        body = self.body({name: value for name, value in inputs.items() if name not in self._ADJUSTED})
        client.write(self.path(inputs), body)
        self._adjust(client, {}, inputs)
        return self.identity(inputs), self.computed(client, inputs)

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        self._adjust(client, old, new)
        return self.computed(client, new)

    def _adjust(self, client: VaultClient, old: Values, new: Values) -> None:
        names = (*self._ADJUSTED, "exportable", "allowPlaintextBackup")
        changed = {name: new[name] for name in names if new.get(name) is not None and new[name] != old.get(name)}
        if not changed:
            return
        body = self.body(changed)
        if "auto_rotate_period" in body:
            body["auto_rotate_period"] = f"{body['auto_rotate_period']}s"
        client.write(f"{self.path(new)}/config", body)

    def told(self, data: Mapping[str, Any], known: Values) -> Values:
        keys = [
            {"id": version, **value} if isinstance(value, dict) else {"id": version, "creation_time": str(value)}
            for version, value in (data.get("keys") or {}).items()
        ]
        names = ("latestVersion", "minAvailableVersion", *(f"supports{way}" for way in _WAYS))
        api = ("latest_version", "min_available_version", *(f"supports_{way.lower()}" for way in _WAYS))
        outputs = {name: data[key] for name, key in zip(names, api, strict=True) if key in data}
        return {**super().told(data, known), "keys": keys, **outputs}


_WAYS = ("Decryption", "Derivation", "Encryption", "Signing")
TRANSIT_KEY = TransitKey(
    "vault:transit/secretBackendKey:SecretBackendKey",
    "{backend}/keys/{name}",
    {
        "backend": VaultField(required=True, replaces=True, api=""),
        "name": VaultField(replaces=True, api="", autoname=True),
        "type": VaultField(default="aes256-gcm96", replaces=True),
        "derived": VaultField(shape="boolean", replaces=True),
        "convergentEncryption": VaultField(shape="boolean", replaces=True),
        "context": VaultField(replaces=True, write_only=True),
        "keySize": VaultField(shape="integer", replaces=True),
        "exportable": VaultField(shape="boolean"),
        "allowPlaintextBackup": VaultField(shape="boolean"),
        "deletionAllowed": VaultField(shape="boolean"),
        "minDecryptionVersion": VaultField(shape="integer", computed=True),
        "minEncryptionVersion": VaultField(shape="integer", computed=True),
        "autoRotatePeriod": VaultField(shape="integer", computed=True),
    },
    outputs=("keys", "latestVersion", "minAvailableVersion", *(f"supports{way}" for way in _WAYS)),
)


class Token(Resource):
    """vault:index/token:Token. Its id is the accessor; the token is an output, and secret."""

    def create(self, client: VaultClient, inputs: Values) -> tuple[str, Values]:
        role = inputs.get("roleName")
        path = "auth/token/create-orphan" if inputs.get("noParent") else "auth/token/create"
        if role:
            path = f"auth/token/create/{role}"
        auth = client.write(path, self.body(inputs))["auth"]
        outputs = {"clientToken": auth["client_token"], "leaseDuration": auth["lease_duration"]}
        return auth["accessor"], outputs

    def update(self, client: VaultClient, old: Values, new: Values) -> Values:
        del client, new
        return {name: old[name] for name in self.outputs if name in old}

    def from_id(self, resource_id: str) -> Values:
        return {"id": resource_id}

    def identity(self, values: Mapping[str, Any]) -> str:
        return given(values, "id")  # given by the server; two tokens never collide

    def read(self, client: VaultClient, known: Values) -> Values | None:
        try:
            client.write("auth/token/lookup-accessor", {"accessor": known["id"]})
        except VaultApiError as error:
            if error.code in (403, 404) or "invalid accessor" in str(error):
                return None
            raise
        return {name: value for name, value in known.items() if name != "id"}

    def delete(self, client: VaultClient, state: Values) -> None:
        if self.read(client, state) is not None:
            client.write("auth/token/revoke-accessor", {"accessor": state["id"]})


TOKEN = Token(
    "vault:index/token:Token",
    "auth/token",
    {
        "policies": VaultField(shape="set", replaces=True),
        "displayName": VaultField(replaces=True),
        "ttl": VaultField(replaces=True),
        "period": VaultField(replaces=True),
        "explicitMaxTtl": VaultField(replaces=True),
        "numUses": VaultField(shape="integer", replaces=True),
        "noParent": VaultField(shape="boolean", replaces=True),
        "noDefaultPolicy": VaultField(shape="boolean", replaces=True),
        "renewable": VaultField(shape="boolean", replaces=True),
        "roleName": VaultField(replaces=True, api=""),
        "metadata": VaultField(shape="map", replaces=True, api="meta"),
    },
    outputs=("clientToken", "leaseDuration"),
    secret_outputs=("clientToken",),
)

RESOURCES: Mapping[str, Resource] = {
    resource.token: resource
    for resource in (
        MOUNT, AUTH_BACKEND, AUDIT, POLICY, PASSWORD_POLICY, TOKEN,
        KUBERNETES_CONFIG, KUBERNETES_ROLE, APPROLE_ROLE,
        CONNECTION, ROLE, STATIC_ROLE,
        SECRET_V2, KV_BACKEND, GENERIC_SECRET, GENERIC_ENDPOINT,
        TRANSIT_KEY,
    )
}  # fmt: skip
