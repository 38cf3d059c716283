"""A small client of the Kubernetes API: discovery, server-side apply, reads and deletes of any kind.

Blocking, and safe to use from several threads: the provider runs it in worker threads.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.providers.kubernetes.errors import ApiError, KubernetesError, UnknownKindError
from sandbox.providers.kubernetes.kubeconfig import Cluster

Object = dict[str, Any]

# Groups of the API server itself: a kind that they do not serve now will not be served later in the run either.
NATIVE_SUFFIX = ".k8s.io"
REQUEST_TIMEOUT = 30.0
ATTEMPTS, RETRY_PAUSE = 3, 0.2  # seconds


@dataclass(frozen=True)
class Kind:
    """One kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The URL path of one object, or of the collection."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


def native(api_version: str) -> bool:
    """Whether the group belongs to Kubernetes itself, not to a CRD."""
    group = api_version.rpartition("/")[0]
    return "." not in group or (group.endswith(NATIVE_SUFFIX) and not group.endswith(".x-k8s.io"))


class Api:
    """One API server."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        headers = {"Authorization": f"Bearer {cluster.token}"} if cluster.token else {}
        self._http = httpx.Client(
            base_url=cluster.server,
            verify=cluster.ssl_context(),
            headers=headers,
            timeout=REQUEST_TIMEOUT,
            trust_env=False,  # a proxy of the environment has no business between us and loopback
        )
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        self._http.close()

    # -- discovery ---------------------------------------------------------------------------------------------------

    def kind(self, api_version: str, kind: str) -> Kind:
        """Scope and plural of a kind, cached; a kind that was not there is asked for anew.

        Raises UnknownKindError, which says what the server has instead and what to do.
        """
        with self._lock:
            known = self._kinds.get(api_version, {})
            if kind not in known:
                known = self._discover(api_version)
                if known:
                    self._kinds[api_version] = known
        if kind in known:
            return known[kind]
        raise UnknownKindError(self._unknown(api_version, kind, known))

    def _discover(self, api_version: str) -> dict[str, Kind]:
        path = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        try:
            found = self.request("GET", path)
        except ApiError as error:
            if error.code == 404:
                return {}
            raise
        return {
            item["kind"]: Kind(api_version, item["kind"], item["name"], item["namespaced"])
            for item in found.get("resources", [])
            if "/" not in item["name"]
        }

    def _unknown(self, api_version: str, kind: str, served: dict[str, Kind]) -> str:
        head = f"the API server serves no kind {kind!r} in {api_version!r}"
        if others := self.versions_of(api_version, kind):
            return f"{head}; it serves {kind} in {', '.join(repr(v) for v in others)}: change apiVersion"
        if native(api_version):
            known = ", ".join(sorted(served)) or "none"
            return f"{head}; kinds of that version: {known}. Correct `kind` or `apiVersion`"
        return (
            f"{head}: install the CustomResourceDefinition first, and let this resource depend on the release "
            "or the CustomResourceDefinition that brings it (depends_on)"
        )

    def versions_of(self, api_version: str, kind: str) -> list[str]:
        """Other versions of the same group in which ``kind`` is served."""
        group = api_version.rpartition("/")[0]
        if not group:
            return []
        try:
            found = self.request("GET", f"/apis/{group}")
        except ApiError:
            return []
        versions = [v["groupVersion"] for v in found.get("versions", []) if v["groupVersion"] != api_version]
        return [version for version in versions if kind in self._discover(version)]

    # -- objects -----------------------------------------------------------------------------------------------------

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """The live object, or None where there is none."""
        try:
            return self.request("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: Kind, namespace: str | None, selector: str = "") -> list[Object]:
        """The objects of a kind, of one namespace or of all (None)."""
        params = {"labelSelector": selector} if selector else None
        found: list[Object] = self.request("GET", kind.path(namespace), params=params).get("items", [])
        return found

    def apply(self, kind: Kind, body: Object, *, manager: str, force: bool = False, dry_run: bool = False) -> Object:
        """Server-side apply, with strict field validation: an unknown field is an error, not a warning."""
        metadata = body["metadata"]
        params = {
            "fieldManager": manager,
            "fieldValidation": "Strict",
            "force": "true" if force else "false",
            **({"dryRun": "All"} if dry_run else {}),
        }
        return self.request(
            "PATCH",
            kind.path(metadata.get("namespace"), metadata["name"]),
            params=params,
            body=body,
            content_type="application/apply-patch+yaml",
        )

    def validate(self, kind: Kind, body: Object) -> None:
        """Let the server check the object as a new one, without storing it. Raises ApiError with what it refuses."""
        path = kind.path(body["metadata"].get("namespace"))
        self.request("POST", path, params={"dryRun": "All", "fieldValidation": "Strict"}, body=body)

    def delete(self, kind: Kind, namespace: str | None, name: str, *, propagation: str, uid: str | None) -> None:
        """Ask for the deletion; the object may stay until its finalizers are done. Absent is fine."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", kind.path(namespace, name), body=body)
        except ApiError as error:
            # 409: an object of that name with another uid is not ours to delete, so ours is gone.
            if error.code != 404 and not (error.code == 409 and uid):
                raise

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Object | bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """One request; a body of bytes is sent as it is.

        Raises ApiError with the server's own message, KubernetesError where there is no answer.
        """
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Accept": accept, **({"Content-Type": content_type} if content is not None else {})}
        # A kept-alive connection can break under a request, and the pool's bookkeeping too when many threads use it. All but
        # a creation can be sent again.
        attempts = 1 if method == "POST" else ATTEMPTS
        while True:
            attempts -= 1
            try:
                response = self._http.request(method, path, params=params, content=content, headers=headers)
                break
            except httpx.TransportError as error:
                if not attempts:
                    raise KubernetesError(f"the API server at {self.cluster.server} does not answer: {error}") from None
                time.sleep(RETRY_PAUSE)
        try:
            answer = response.json()
        except ValueError:
            answer = {"message": response.text[:500]}
        if response.is_success:
            return answer if isinstance(answer, dict) else {}
        raise ApiError(method, path, response.status_code, answer if isinstance(answer, dict) else {})
