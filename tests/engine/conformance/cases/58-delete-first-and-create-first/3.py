import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", shape="m")
b = Thing("b", "v1", shape=a.arn, exclusive=True, opts=ResourceOptions(delete_before_replace=False))
c = Thing("c", "v1", shape=b.arn, opts=ResourceOptions(delete_before_replace=True))
d = Thing("d", "v1", tags={"b": b.arn, "c": c.arn})
