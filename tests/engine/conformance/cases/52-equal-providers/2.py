import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
p = Provider("p", region="mars", note="x")
q = Provider("q", region="mars")
a = Thing("a", "v1", opts=ResourceOptions(provider=q))
b = Thing("b", "v2", opts=ResourceOptions(version="2.0.0"))
