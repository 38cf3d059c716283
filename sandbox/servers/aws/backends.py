"""moto's models, as the sandbox uses them: one account, one region, and what moto leaves out made up for.

The only module that imports moto's models; import it late, it takes half a second.
"""

from __future__ import annotations

from typing import Any

from moto.eks.models import eks_backends
from moto.iam.models import iam_backends
from moto.kms import models as kms_models
from moto.secretsmanager.models import FakeSecret, secretsmanager_backends
from moto.sts.models import sts_backends

from sandbox.servers.aws.server import ACCOUNT as ACCOUNT  # as this module's own, for its users
from sandbox.servers.aws.server import REGION as REGION

BACKENDS = {
    "iam": iam_backends,
    "sts": sts_backends,
    "secretsmanager": secretsmanager_backends,
    "kms": kms_models.kms_backends,
    "eks": eks_backends,
}
_make_private_key = kms_models.generate_private_key


def _private_key(key_spec: str) -> Any:
    # moto makes an RSA key for symmetric ones too, a tenth of a second each and never used.
    return None if key_spec == "SYMMETRIC_DEFAULT" else _make_private_key(key_spec)


kms_models.generate_private_key = _private_key


_described = FakeSecret.to_dict


def _with_rules(self: Any) -> dict[str, Any]:
    # moto knows days only, no schedule expression and no window.
    found: dict[str, Any] = _described(self)
    if "RotationRules" in found and getattr(self, "strongroom_rules", None) is not None:
        found["RotationRules"] = self.strongroom_rules
    return found


FakeSecret.to_dict = _with_rules


def iam() -> Any:
    return iam_backends[ACCOUNT]["aws"]


def sts() -> Any:
    return sts_backends[ACCOUNT]["aws"]


def secrets_manager(region: str = REGION) -> Any:
    return secretsmanager_backends[ACCOUNT][region]


def kms(region: str = REGION) -> Any:
    return kms_models.kms_backends[ACCOUNT][region]


def eks(region: str = REGION) -> Any:
    return eks_backends[ACCOUNT][region]


def secret(secret_id: str, region: str = REGION) -> Any | None:
    """The secret with this name, ARN or partial ARN; None where there is none."""
    return secrets_manager(region).secrets.get(secret_id) if secret_id else None


def key(key_id: str, region: str = REGION) -> Any | None:
    """The KMS key with this id, ARN, alias or alias ARN; None where there is none."""
    backend = kms(region)
    name = key_id.rpartition(":")[2] if key_id.startswith("arn:") else key_id
    if name.startswith("alias/"):
        return next((found for found in backend.keys.values() if name in found.aliases), None)
    return backend.keys.get(name.removeprefix("key/"))


def role(arn: str) -> Any | None:
    """The role with this ARN, its path included."""
    return next((found for found in iam().roles.values() if found.arn == arn), None)


def settle() -> None:
    """After a change: what moto leaves behind. The default version is the one labelled AWSCURRENT, wherever the label moved."""
    for backend in secretsmanager_backends[ACCOUNT].values():
        for live in dict.values(backend.secrets):
            versions = getattr(live, "versions", {})
            current = next(
                (one for one, version in versions.items() if "AWSCURRENT" in version["version_stages"]), None
            )
            if hasattr(live, "set_default_version_id") and versions:
                live.set_default_version_id(current)
