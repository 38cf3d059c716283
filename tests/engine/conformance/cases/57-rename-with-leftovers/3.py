import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a3", "v2", shape="new", opts=ResourceOptions(aliases=[pulumi.Alias(name="a2")]))
b = Thing("b2", "v1", shape=a.arn, opts=ResourceOptions(aliases=[pulumi.Alias(name="b")]))
c = Thing("c", "v1", opts=ResourceOptions(parent=a))
