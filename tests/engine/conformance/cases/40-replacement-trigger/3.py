import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2", opts=ResourceOptions(replacement_trigger=pulumi.Output.from_input("2")))
b = Thing("b", a.arn)
