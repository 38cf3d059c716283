"""The kubernetes provider: any kind by server-side apply, and Helm releases of known charts."""

from sandbox.providers.kubernetes.provider import KubernetesProvider

__all__ = ["KubernetesProvider"]
