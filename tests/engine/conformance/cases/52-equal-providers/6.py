import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
q = Provider("q", region="mars", opts=ResourceOptions(protect=True))
a = Thing("a", "v1", opts=ResourceOptions(provider=q))
