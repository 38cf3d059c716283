import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2")
b = Thing("b", "y", shape=a.arn, opts=ResourceOptions(replacement_trigger=a.generation))
