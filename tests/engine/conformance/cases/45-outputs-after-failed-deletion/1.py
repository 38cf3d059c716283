import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1")
b = Thing("b", "v1")
c = Thing("c", b.arn)
export("one", 1)
export("two", a.arn)
