import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", tags={"x": Output.secret("hid-den"), "y": "2"}, opts=ResourceOptions(ignore_changes=["tags.x"]))
b = Thing("b", "v2", tags={"x": "2", "y": a.arn}, opts=ResourceOptions(ignore_changes=["tags.x"]))
c = Thing("c", "v2", tags={"y": "2"}, opts=ResourceOptions(ignore_changes=["tags.x.deep"]))
export("tags", [a.tags, b.tags])
