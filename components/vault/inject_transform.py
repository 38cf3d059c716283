"""A Pulumi transform that gives a Deployment of the team's own what ``inject`` says, without touching the team's code.

    opts = pulumi.ResourceOptions(transformations=[inject_transform(injection, match="payment-api")])

The annotations and the volume of ``injection`` are merged into the pod template of every Deployment, StatefulSet, DaemonSet,
Job and CronJob below the resource (or the stack) that carries the transform.
"""

from collections.abc import Callable
from typing import Any

import pulumi

from components.vault.agent_injection import JOBS, PREFIX, TOKEN_VOLUME, Injection, InjectionError

STATUS = f"{PREFIX}agent-inject-status"  # the injector's own mark
# Type -> where its pod template is.
TEMPLATES = {
    "kubernetes:apps/v1:Deployment": ("spec", "template"),
    "kubernetes:apps/v1:StatefulSet": ("spec", "template"),
    "kubernetes:apps/v1:DaemonSet": ("spec", "template"),
    "kubernetes:batch/v1:Job": ("spec", "template"),
    "kubernetes:batch/v1:CronJob": ("spec", "job_template", "spec", "template"),
}


def inject_transform(injection: Injection, *, match: str | None = None) -> Callable[[Any], Any]:
    """The transform, for ``transformations`` as well as for ``transforms`` of ``pulumi.ResourceOptions``.

    ``match``: only the workload of this Pulumi name; default every one that the option reaches.

    Raises InjectionError, when the workload is registered, where its pod runs under no service account of its own, where an
    annotation that is there already says otherwise, or where ``init_only`` would leave it without renewal.
    """

    def transform(args: Any) -> Any:
        type_ = str(getattr(args, "type_", None) or args.type)
        path = TEMPLATES.get(type_)
        if path is None or (match is not None and args.name != match):
            return None
        kind = type_.rpartition(":")[2]
        injection.check_kind(kind)
        if kind in JOBS and not (injection.before_start_only or injection.native):
            pulumi.log.warn(
                f"{args.name}: the agent's sidecar does not end, so this {kind} never completes by itself; give the injection "
                f"init_only(workload_kind={kind!r}) or native_sidecar=True"
            )
        change: Callable[[Any], Any] = lambda template: _injected(template, injection, args.name)  # noqa: E731
        for step in reversed(path):
            change = _at(step, change, args.name)
        props = change(dict(args.props))
        if isinstance(args, pulumi.ResourceTransformArgs):
            return pulumi.ResourceTransformResult(props=props, opts=args.opts)
        return pulumi.ResourceTransformationResult(props=props, opts=args.opts)

    return transform


def _at(key: str, change: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """``change`` one level up: on what holds the value under ``key``."""

    def outer(node: Any) -> Any:
        value = _get(node, key)
        if value is None:
            raise InjectionError(
                f"{key}: workload {name!r} has none; the transform needs a whole pod template to add to"
            )
        return _put(node, key, _resolved(value, change))

    return outer


def _resolved(value: Any, change: Callable[[Any], Any]) -> Any:
    """``change`` on a value, or on what an Output will hold."""
    return value.apply(change) if isinstance(value, pulumi.Output) else change(value)


def _injected(template: Any, injection: Injection, name: str) -> Any:
    """The pod template with the annotations and the volumes."""

    def metadata(found: Any) -> Any:
        return _put(found, "annotations", _resolved(_get(found, "annotations") or {}, annotations))

    def annotations(found: Any) -> dict[str, Any]:
        wanted = injection.annotations()
        if STATUS in found:
            raise InjectionError(
                f"{STATUS}: workload {name!r} says it, as a copy of a running pod does, so the injector would pass over it; "
                "take it out"
            )
        for key, value in wanted.items():
            there = found.get(key, value)
            if not isinstance(there, pulumi.Output) and there != value:
                raise InjectionError(
                    f"{key}: workload {name!r} says {there!r} already; take it out, or leave the transform out"
                )
        return {**found, **wanted}

    def spec(found: Any) -> Any:
        if _get(found, "service_account_name") in (None, "", "default"):
            raise InjectionError(
                f"serviceAccountName: the pods of {name!r} run under the namespace's default account, which every pod "
                "shares; give them one of their own, which Vault's role names"
            )
        if injection.same_user or injection.share_processes:
            _resolved(_get(found, "containers") or [], has_user)
        volumes = injection.volumes()
        if not volumes:
            if _get(found, "automount_service_account_token") is False:
                raise InjectionError(
                    f"automountServiceAccountToken: the pods of {name!r} take no token, so their agent cannot log in; "
                    "give the injection an audience, for which it gets a token of its own"
                )
            return found
        return _put(
            found, "volumes", _resolved(_get(found, "volumes") or [], lambda there: with_volumes(there, volumes))
        )

    def has_user(containers: Any) -> None:
        context = _get(containers[0], "security_context") if containers else None
        if not isinstance(context, pulumi.Output) and (context is None or _get(context, "run_as_user") is None):
            raise InjectionError(
                f"runAsUser: the first container of {name!r} says none in its securityContext, so the agent cannot run as its "
                "user; give it one, or leave same_user and share_processes out"
            )

    def with_volumes(there: Any, wanted: Any) -> list[Any]:
        for volume in there:
            if _get(volume, "name") == TOKEN_VOLUME and volume not in wanted:
                raise InjectionError(f"volumes: workload {name!r} has another one named {TOKEN_VOLUME!r}; rename it")
        return [*there, *(volume for volume in wanted if volume not in there)]

    template = _put(template, "metadata", _resolved(_get(template, "metadata") or {}, metadata))
    return _at("spec", spec, name)(template)


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _get(node: Any, key: str) -> Any:
    """A member of a dict, in either spelling, or of one of the SDK's argument objects."""
    if isinstance(node, dict):
        return node.get(key, node.get(_camel(key)))
    return getattr(node, key, None)


def _put(node: Any, key: str, value: Any) -> Any:
    """A copy of a dict with the member set; the SDK's argument objects are changed in place."""
    if isinstance(node, dict):
        camel = _camel(key)
        return {**node, (camel if camel in node or key not in node else key): value}
    setattr(node, key, value)
    return node
