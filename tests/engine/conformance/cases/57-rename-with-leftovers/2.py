import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a2", "v2", shape="new", opts=ResourceOptions(aliases=[pulumi.Alias(name="a")]))
b = Thing("b", "v1", shape=a.arn)
c = Thing("c", "v1", opts=ResourceOptions(parent=a))
