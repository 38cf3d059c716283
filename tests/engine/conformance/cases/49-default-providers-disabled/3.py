import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
p = Provider("p", region="mars")
a = Thing("a", "v1", opts=ResourceOptions(provider=p))
x = lookup("a", pulumi.InvokeOptions(provider=p))
export("x", x.arn)
