import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def boom(args): pass
pulumi.ResourceHook("boom", boom)
b = Thing("b", "v1")
export("b", b.arn)
