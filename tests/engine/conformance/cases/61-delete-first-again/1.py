import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2", shape="v3", exclusive=True, opts=ResourceOptions())
b = Thing("b", "v3", shape=Output.secret(a.arn), tags={"x": a.value}, exclusive=True, opts=ResourceOptions(depends_on=[a], delete_before_replace=True, retain_on_delete=True))
c = Thing("c", "v2", shape=a.generation.apply(str), exclusive=True, opts=ResourceOptions(depends_on=[b]))
d = Thing("d", Output.secret(b.arn), shape=b.arn, exclusive=True, opts=ResourceOptions(depends_on=[c], delete_before_replace=True))
export("last", d.arn)
export("n2", 4)
