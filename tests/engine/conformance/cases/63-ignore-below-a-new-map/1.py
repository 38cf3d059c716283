import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", opts=ResourceOptions(ignore_changes=["tags.x"]))
b = Thing("b", "v1", tags={"x": "1"}, opts=ResourceOptions(ignore_changes=["tags.x"]))
c = Thing("c", "v1", opts=ResourceOptions(ignore_changes=["tags.x.deep"]))
