"""AwsProvider: the types of ``RESOURCES`` as a Pulumi provider, over boto3.

Type tokens, property names, ids, defaults and replacement follow pulumi-aws 7.51.1. It talks to loopback only. Different by
intent: what an interrupted run made and could not record is taken over where it is the same in everything.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    DiffRequest,
    DiffResponse,
    InvokeRequest,
    InvokeResponse,
    PropertyDiff,
    PropertyDiffKind,
)
from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.aws import eks, functions, iam, kms, secret_settings, secretsmanager
from sandbox.providers.aws.clients import Clients
from sandbox.providers.aws.errors import AwsProviderError, InvalidInput
from sandbox.providers.aws.policies import as_text, same_policy
from sandbox.providers.aws.resource import AwsResource, Values
from sandbox.providers.errors import EndpointRefused
from sandbox.providers.loopback import require_loopback
from sandbox.providers.resource_provider import ResourceProvider, given_name
from sandbox.providers.table_provider import bare_type
from sandbox.providers.tables import Field, Fields
from sandbox.providers.values import Properties, has_unknown, plain, plain_map, redact, wrap

VERSION = "7.51.1"

RESOURCES: Mapping[str, AwsResource] = {
    resource.kind: resource
    for resource in (
        iam.Role(),
        iam.Policy(),
        iam.RolePolicy(),
        iam.RolePolicyAttachment(),
        iam.OpenIdConnectProvider(),
        secretsmanager.Secret(),
        secretsmanager.SecretVersion(),
        secret_settings.SecretPolicy(),
        secret_settings.SecretRotation(),
        kms.Key(),
        kms.Alias(),
        kms.KeyPolicy(),
        eks.Cluster(),
        eks.PodIdentityAssociation(),
    )
}
_SETTINGS: Fields = {
    "region": Field(),
    "accessKey": Field(secret=True),
    "secretKey": Field(secret=True),
    "token": Field(secret=True),
    "endpoints": Field(shape="list"),
    "defaultTags": Field(shape="object"),
    # Accepted, and without a meaning here: nothing is asked for at the start.
    "skipCredentialsValidation": Field(shape="boolean"),
    "skipMetadataApiCheck": Field(shape="boolean"),
    "skipRegionValidation": Field(shape="boolean"),
    "skipRequestingAccountId": Field(shape="boolean"),
    "maxRetries": Field(shape="integer"),
    "profile": Field(),
}


class AwsProvider(ResourceProvider):
    """See the module's docstring. Takes ``region``, ``accessKey``, ``secretKey`` and ``endpoints``, else the AWS_* variables."""

    package = "aws"
    version = VERSION
    tables: ClassVar[Mapping[str, Fields]] = {token: resource.fields for token, resource in RESOURCES.items()}
    settings = _SETTINGS
    resources = RESOURCES

    def __init__(self) -> None:
        super().__init__()
        self._settings: Values = {}
        self._clients: Clients | None = None
        self._lock = threading.Lock()
        self._recorded_keys: set[str] = set()

    def close(self) -> None:
        super().close()
        if self._clients is not None:
            self._clients.close()

    # -- the provider itself -------------------------------------------------------------------------------------------------

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        checked = await super().check_config(request)
        try:
            for service, url in _endpoints(plain(request.new_inputs.get("endpoints"))).items():
                require_loopback(f"endpoints.{service}", url)
        except EndpointRefused as error:
            checked.failures = [*(checked.failures or []), CheckFailure("endpoints", str(error))]
        return checked

    async def diff_config(self, request: DiffRequest) -> DiffResponse:
        # `changes` and `detailed_diff` stay unset: the SDK's gRPC host garbles both for DiffConfig.
        old, new = plain(request.old_state.get("region")), plain(request.new_inputs.get("region"))
        return DiffResponse(replaces=["region"] if old != new and old and new else [])

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        self._settings = plain_map(request.args)
        if self._clients is not None:
            self._clients.close()
        self._clients = None
        return await super().configure(request)

    def client(self, values: Values) -> Clients:
        del values
        with self._lock:
            return self._made_client()

    def _made_client(self) -> Clients:
        if self._clients is None:
            endpoints = _endpoints(self._settings.get("endpoints"))
            endpoint = os.environ.get("AWS_ENDPOINT_URL") or next(iter(endpoints.values()), "")
            if not endpoint:
                raise AwsProviderError("aws: no endpoint: set $AWS_ENDPOINT_URL or the provider's `endpoints`")
            require_loopback("AWS_ENDPOINT_URL", endpoint)
            region = (
                self._settings.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            )
            if not region or region == UNKNOWN:
                raise AwsProviderError("aws: no region: set the provider's `region` or $AWS_REGION")
            self._clients = Clients(
                endpoint=endpoint,
                endpoints=endpoints,
                region=region,
                access_key=self._settings.get("accessKey") or os.environ.get("AWS_ACCESS_KEY_ID"),
                secret_key=self._settings.get("secretKey") or os.environ.get("AWS_SECRET_ACCESS_KEY"),
                token=self._settings.get("token") or os.environ.get("AWS_SESSION_TOKEN"),
                recorded_keys=self._recorded_keys,
            )
        return self._clients

    def wrapped(self, error: Exception, secret_values: set[str]) -> Exception:
        if isinstance(error, InvalidInput | EndpointRefused):
            return error
        text = redact(str(error) or type(error).__name__, secret_values)
        return AwsProviderError(text if text.startswith("aws: ") else f"aws: {text}")

    # -- check and diff ------------------------------------------------------------------------------------------------------

    def prepared(self, token: str, values: Values) -> Values:
        """With ``tagsAll``: the provider's default tags and the resource's own."""
        if "tags" not in self.tables[token] or values.get("tags") == UNKNOWN:
            return values
        return {**values, "tagsAll": self._tags_all(values)}

    def _tags_all(self, values: Mapping[str, Any]) -> dict[str, str]:
        defaults = (self._settings.get("defaultTags") or {}).get("tags") or {}
        return {**defaults, **(values.get("tags") or {})}

    def named(self, request: CheckRequest, given: Properties) -> Properties:
        resource = RESOURCES[bare_type(request.type)]
        named = dict(given)
        for name, field in resource.fields.items():
            value = given.get(name)
            if field.same is same_policy and value is not None and isinstance(value.value, Mapping):
                data = plain(value)
                if not has_unknown(data):
                    named[name] = wrap(as_text(data), secret=value.is_secret)
        if resource.autoname is not None and not given_name(given, "name"):
            named["name"] = self._name(request, resource, given)
        return named

    def _name(self, request: CheckRequest, resource: AwsResource, given: Properties) -> PropertyValue:
        prefix, before = plain(given.get("namePrefix")), request.old_inputs.get("name")
        old_prefix = plain(request.old_inputs.get("namePrefix"))
        if before is not None and prefix == old_prefix:
            return before
        if prefix == UNKNOWN:
            return wrap(UNKNOWN)
        if prefix:
            made = f"{prefix}{time.strftime('%Y%m%d%H%M%S')}{secrets.randbelow(10**12):012d}"
        else:
            made = self.made_up_name(request, resource.autoname_prefix)
        assert resource.autoname is not None
        return wrap(made[: resource.autoname])

    def contradictions(self, token: str, inputs: Mapping[str, Any]) -> list[CheckFailure]:
        found: list[CheckFailure] = []
        for name, field in RESOURCES[token].fields.items():
            text = inputs.get(name)
            if field.same is same_policy and isinstance(text, str) and text not in (UNKNOWN, ""):
                found += _policy_failures(name, text)
        if token.endswith(":SecretVersion"):
            values = [
                name for name in ("secretString", "secretBinary", "secretStringWo") if inputs.get(name) is not None
            ]
            if len(values) != 1:
                what = " and ".join(values) or "none"
                found.append(
                    CheckFailure("secretString", f"give one of secretString, secretBinary, secretStringWo, not {what}")
                )
            if ("secretStringWo" in values) != (inputs.get("secretStringWoVersion") is not None):
                found.append(
                    CheckFailure("secretStringWoVersion", "secretStringWo and secretStringWoVersion need each other")
                )
        if token.endswith(":SecretRotation"):
            rules = inputs.get("rotationRules") or {}
            if (
                isinstance(rules, Mapping)
                and len([n for n in ("automaticallyAfterDays", "scheduleExpression") if n in rules]) != 1
            ):
                text = "rotationRules needs one of automaticallyAfterDays and scheduleExpression"
                found.append(CheckFailure("rotationRules", text))
        found += _ranges(token, inputs)
        return found

    async def diff(self, request: DiffRequest) -> DiffResponse:
        if bare_type(request.type) == kms.Key.kind:
            self._recorded_keys.add(request.resource_id)
        found = await super().diff(request)
        old, new = plain_map(request.old_state), plain_map(request.new_inputs)
        tagged = "tags" in self.tables[bare_type(request.type)] and new.get("tags") != UNKNOWN
        tagged = tagged and not found.changes and not {"tags", "tagsAll"} & set(request.ignore_changes)
        if tagged and (old.get("tagsAll") or {}) != self._tags_all(new):  # the provider's default tags changed
            found.changes, found.diffs = True, ["tagsAll"]
            found.detailed_diff = {"tagsAll": PropertyDiff(PropertyDiffKind.UPDATE, input_diff=False)}
        return found

    def takes_the_same_place(self, token: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        if has_unknown({name: new.get(name) for name in RESOURCES[token].fields}):
            return False
        identity = RESOURCES[token].identity(dict(new))
        return bool(identity) and identity == RESOURCES[token].identity(dict(old)) and old.get("region") == new.get(
            "region", old.get("region")
        )  # fmt: skip

    # -- functions -----------------------------------------------------------------------------------------------------------

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        args = plain_map(request.args)
        token = request.tok
        try:
            if token == functions.POLICY_DOCUMENT:
                return InvokeResponse({name: wrap(value) for name, value in functions.policy_document(args).items()})
            if token not in functions.FUNCTIONS:
                known = ", ".join(sorted([functions.POLICY_DOCUMENT, *functions.FUNCTIONS]))
                raise AwsProviderError(f"the sandbox's aws provider has no function {token!r}; it has: {known}")
            needed = functions.NEEDED.get(token)
            if needed and not args.get(needed):
                raise InvalidInput(needed, f"{token} needs {needed}")
            function = functions.FUNCTIONS[token]
            result = await self.run(args, lambda client: function(client, args), request.args)
        except InvalidInput as error:
            return InvokeResponse(failures=[CheckFailure(error.property, error.reason)])
        return InvokeResponse(
            {
                name: wrap(value, secret=name in functions.SECRET_RESULTS)
                for name, value in result.items()
                if value is not None
            }
        )


def _endpoints(given: Any) -> dict[str, str]:
    """The provider's ``endpoints``, a list of {service: url}, as {service: url}; as JSON text too, as an engine sends it."""
    if isinstance(given, str) and given != UNKNOWN:
        given = json.loads(given)
    merged = {service: url for one in given or [] if isinstance(one, Mapping) for service, url in one.items() if url}
    return {str(service): str(url) for service, url in merged.items()}


def _policy_failures(name: str, text: str) -> list[CheckFailure]:
    try:
        document = json.loads(text)
    except ValueError:
        return [CheckFailure(name, f"{name} must be a policy document as JSON text")]
    if not isinstance(document, dict) or (document and "Statement" not in document):
        return [CheckFailure(name, f"{name} must be a policy document: an object with Version and Statement")]
    return []


_RANGES = {
    "recoveryWindowInDays": (7, 30, (0,)),
    "deletionWindowInDays": (7, 30, ()),
    "rotationPeriodInDays": (90, 2560, ()),
    "maxSessionDuration": (3600, 43200, ()),
}


def _ranges(token: str, inputs: Mapping[str, Any]) -> list[CheckFailure]:
    found = []
    for name, (least, most, also) in _RANGES.items():
        value = inputs.get(name)
        if name in RESOURCES[token].fields and isinstance(value, int) and not (least <= value <= most or value in also):
            extra = f" or {also[0]}" if also else ""
            found.append(CheckFailure(name, f"{name} must be from {least} to {most}{extra}, not {value}"))
    return found
