from tests.aws.fixtures import cloud
from tests.providers.aws import aws
from tests.providers.vault import client, database, vault

__all__ = ["aws", "client", "cloud", "database", "vault"]
