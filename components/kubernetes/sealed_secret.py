"""A SealedSecret: from Pulumi secrets, sealed here and now against the controller's certificate, or from a committed file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import yaml
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from components.sealing import Scope, SealingError, check_key, label, load_certificate, seal

_PLACE = ("certificate", "namespace", "secretName", "scope")


class _SealingProvider(ResourceProvider):
    """Keeps ciphertexts in the state, so that an unchanged value gives an unchanged result.

    Sealing is randomised: sealed anew at every ``up``, each value would show as a change. A ciphertext that followed from
    the value alone would let anyone with the certificate test guesses. So the state remembers, and only what changed is
    sealed again.
    """

    def _sealed(self, props: Mapping[str, Any], keys: Sequence[str]) -> dict[str, str]:
        certificate = load_certificate(props["certificate"])
        return {
            key: seal(
                certificate,
                props["data"][key].encode(),
                namespace=props["namespace"],
                name=props["secretName"],
                scope=Scope(props["scope"]),
            )
            for key in keys
        }

    def create(self, props: dict[str, Any]) -> CreateResult:
        outputs = {**props, "encrypted_data": self._sealed(props, sorted(props["data"]))}
        return CreateResult(f"{props['namespace']}/{props['secretName']}", outputs)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        changed = [key for key in (*_PLACE, "data") if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(changed))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        kept: dict[str, str] = {}
        if all(_olds.get(key) == _news.get(key) for key in _PLACE):
            kept = {
                key: _olds["encrypted_data"][key]
                for key, value in _news["data"].items()
                if _olds["data"].get(key) == value and key in _olds["encrypted_data"]
            }
        sealed = self._sealed(_news, sorted(set(_news["data"]) - set(kept)))
        return UpdateResult({**_news, "encrypted_data": {**kept, **sealed}})


class _SealedValues(Resource):
    encrypted_data: pulumi.Output[Mapping[str, str]]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__(_SealingProvider(), name, {**props, "encrypted_data": None}, opts)


class SealedSecretArgs(TypedDict):
    """Arguments of SealedSecret. Either ``data`` with ``certificate``, or ``file``."""

    namespace: str
    """The namespace of the Secret that it becomes."""
    secret_name: str
    """The name of the Secret that it becomes."""
    data: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Keys and values, secrets in Pulumi; sealed before they leave the program's provider."""
    certificate: NotRequired[pulumi.Input[str]]
    """The controller's sealing certificate, PEM: the file that `gitops sealed fetch-cert` wrote and that is committed."""
    file: NotRequired[str]
    """A committed manifest with one SealedSecret, as `kubeseal` or `gitops sealed seal` wrote it."""
    scope: NotRequired[Scope]
    """Where it may be opened; default strict: exactly this name in this namespace."""
    allow_cluster_wide: NotRequired[bool]
    """Accept the scope cluster-wide, with which anyone who may create a SealedSecret anywhere can read it; default false."""
    labels: NotRequired[Mapping[str, str]]
    """Labels of the Secret; of a committed file they are its own."""
    annotations: NotRequired[Mapping[str, str]]
    """Annotations of the Secret; of a committed file they are its own."""
    secret_type: NotRequired[str]
    """The Secret's type, such as `kubernetes.io/dockerconfigjson`; default `Opaque`, of a committed file its own."""


class SealedSecret(pulumi.ComponentResource):
    """A Secret that is safe in git: only the controller in the cluster can open it.

    Needs the sealed-secrets controller. The Secret has the SealedSecret's name and is deleted with it.
    Raises SealingError for contradictory or missing arguments. Source: https://github.com/bitnami-labs/sealed-secrets.
    """

    secret_name: pulumi.Output[str]
    """The name of the Secret."""

    def __init__(self, name: str, args: SealedSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:kubernetes:SealedSecret", name, {}, opts)
        scope = _scope(name, args.get("scope", Scope.STRICT))
        if scope is Scope.CLUSTER_WIDE and not args.get("allow_cluster_wide", False):
            raise SealingError(
                f"scope: {name!r} asks for cluster-wide, which any namespace could open; "
                "use strict, or say allow_cluster_wide=True"
            )
        child = pulumi.ResourceOptions(parent=self)
        if "file" in args:
            if "data" in args:
                raise SealingError(f"file, data: {name!r} has both; give the committed file or the values, not both")
            if own := [key for key in ("labels", "annotations", "secret_type") if key in args]:
                raise SealingError(f"{', '.join(own)}: {name!r} is a committed file, which has its own; say them there")
            spec: Any = _from_file(Path(args["file"]), args["namespace"], args["secret_name"], scope)
        else:
            if not args.get("data"):
                raise SealingError(f"data: {name!r} has no value to seal; give data, or file for a sealed manifest")
            for key in args["data"]:
                check_key(key)
            if "certificate" not in args:
                raise SealingError(
                    f"certificate: {name!r} needs the sealing certificate; fetch it with `python -m gitops sealed fetch-cert`"
                )
            if isinstance(args["certificate"], str):
                load_certificate(args["certificate"])  # refused here, rather than by the provider in the middle of `up`
            sealed = _SealedValues(
                f"{name}-sealed",
                {
                    "certificate": args["certificate"],
                    "namespace": args["namespace"],
                    "secretName": args["secret_name"],
                    "scope": scope.value,
                    "data": pulumi.Output.secret(dict(args["data"])),
                },
                pulumi.ResourceOptions(parent=self, additional_secret_outputs=["data"]),
            )
            metadata = {
                "name": args["secret_name"],
                "namespace": args["namespace"],
                "annotations": {**args.get("annotations", {}), **scope.annotations()},
                "labels": dict(args.get("labels", {})),
            }
            template = {"metadata": metadata, **({"type": args["secret_type"]} if "secret_type" in args else {})}
            spec = {"encryptedData": pulumi.Output.unsecret(sealed.encrypted_data), "template": template}
        manifest = k8s.apiextensions.CustomResource(
            f"{name}-manifest",
            api_version="bitnami.com/v1alpha1",
            kind="SealedSecret",
            metadata={
                "name": args["secret_name"],
                "namespace": args["namespace"],
                "annotations": {**scope.annotations(), "pulumi.com/waitFor": "condition=Synced"},
            },
            spec=spec,
            opts=child,
        )
        self.secret_name = manifest.metadata["name"]
        self.register_outputs({"secretName": self.secret_name})


def _scope(name: str, value: str) -> Scope:
    try:
        return Scope(value)
    except ValueError as error:
        raise SealingError(f"scope: {name!r} has {value!r}; expected one of {', '.join(Scope)}") from error


def _from_file(path: Path, namespace: str, secret_name: str, scope: Scope) -> dict[str, Any]:
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    except OSError as error:
        raise SealingError(f"file: {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError):  # they quote the text, which may be a plaintext Secret's
        raise SealingError(f"file: {path} is not YAML") from None
    kinds = [document.get("kind") if isinstance(document, dict) else None for document in documents]
    if "Secret" in kinds:
        raise SealingError(
            f"file: {path} holds a plaintext Secret; seal it, delete the plain file and rotate what it held"
        )
    content = documents[0] if kinds == ["SealedSecret"] else {}
    metadata, spec = content.get("metadata"), content.get("spec")
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise SealingError(f"file: {path}: expected exactly one SealedSecret")
    if Scope.of(metadata.get("annotations")) is not scope:
        raise SealingError(f"scope: {path} is sealed with another scope than {scope}; name the one it was sealed with")
    place = (str(metadata.get("namespace")), str(metadata.get("name")))
    if label(*place, scope) != label(namespace, secret_name, scope):
        raise SealingError(
            f"file: {path} is sealed for {'/'.join(place)}, not for {namespace}/{secret_name}; a {scope} one opens nowhere else"
        )
    return spec
