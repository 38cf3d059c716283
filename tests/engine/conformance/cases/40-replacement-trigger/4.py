import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2", opts=ResourceOptions(replacement_trigger={"x": 1}, delete_before_replace=True))
b = Thing("b", "y", shape=a.arn)
