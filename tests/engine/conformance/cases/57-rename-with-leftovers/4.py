import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a3", "v2", shape="newer", opts=ResourceOptions(delete_before_replace=True))
b = Thing("b3", "v1", shape=a.arn, opts=ResourceOptions(aliases=[pulumi.Alias(name="b2")]))
