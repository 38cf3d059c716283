import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2", opts=ResourceOptions(replacement_trigger="2"))
b = Thing("b", a.arn)
