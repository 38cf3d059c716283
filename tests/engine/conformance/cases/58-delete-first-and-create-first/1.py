import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1")
b = Thing("b", "v1", shape=a.arn, exclusive=True)
c = Thing("c", "v1", shape=b.arn)
d = Thing("d", "v1", tags={"b": b.arn, "c": c.arn})
