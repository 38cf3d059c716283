import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1")
b = Thing("b", "v1", exclusive=True)
c = Thing("c", a.arn, opts=ResourceOptions(depends_on=[b]))
