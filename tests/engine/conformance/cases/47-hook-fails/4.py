import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def boom(args): raise Exception("hook says no")
a = Thing("a", "v2", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(after_update=[pulumi.ResourceHook("boom", boom)], before_delete=[])))
