import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2", fail="update")
b = Thing("b", a.arn)
export("arn", a.generation)
export("new", b.arn)
