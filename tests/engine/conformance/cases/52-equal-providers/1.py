import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
p = Provider("p", region="mars")
a = Thing("a", "v1", opts=ResourceOptions(provider=p))
b = Thing("b", "v1")
