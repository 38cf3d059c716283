import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", opts=ResourceOptions(replacement_trigger="1"))
b = Thing("b", a.arn)
