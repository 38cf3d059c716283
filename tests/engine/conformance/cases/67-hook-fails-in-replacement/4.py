import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", shape="m")
b = Thing("b", "v1", shape="n", exclusive=True, opts=ResourceOptions(depends_on=[a]))
c = Thing("c", a.arn, opts=ResourceOptions(depends_on=[b]))
