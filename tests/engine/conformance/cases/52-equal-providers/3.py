import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
q = Provider("q", region="mars", opts=ResourceOptions(replacement_trigger="x"))
a = Thing("a", "v1", opts=ResourceOptions(provider=q))
