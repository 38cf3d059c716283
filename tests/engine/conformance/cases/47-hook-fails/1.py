import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def boom(args): raise Exception("hook says no")
a = Thing("a", "v1", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook("boom", boom)])))
b = Thing("b", a.arn)
