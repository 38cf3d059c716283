import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
d = Thing("d", "v1")
export("other", 1)
