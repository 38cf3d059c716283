"""The sandbox's AWS: moto with IAM enforced. ``AwsServer`` starts it; ``admin`` is for tests and drills."""

from sandbox.servers.aws.server import AwsServer

__all__ = ["AwsServer"]
