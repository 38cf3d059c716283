"""The aws provider: the resource types of pulumi-aws that the kit uses, over AWS's own APIs."""

from sandbox.providers.aws.provider import AwsProvider

__all__ = ["AwsProvider"]
