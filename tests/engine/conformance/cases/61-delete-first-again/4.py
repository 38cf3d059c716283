import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2", shape="s3", exclusive=True, opts=ResourceOptions())
b = Thing("b", "v1", shape=Output.secret(a.arn), tags={"x": a.value}, exclusive=True, opts=ResourceOptions(depends_on=[a], delete_before_replace=True, retain_on_delete=True))
c = Thing("c", a.generation.apply(str), shape="s3", exclusive=True, opts=ResourceOptions(depends_on=[b]))
export("last", c.arn)
export("n2", 3)
