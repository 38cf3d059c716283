from tests.aws.fixtures import cloud

__all__ = ["cloud"]
