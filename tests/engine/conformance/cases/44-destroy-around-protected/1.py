import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1")
b = Thing("b", a.arn, opts=ResourceOptions(protect=True))
c = Thing("c", b.arn)
d = Thing("d", "v1")
e = Thing("e", d.arn)
export("out", e.arn)
