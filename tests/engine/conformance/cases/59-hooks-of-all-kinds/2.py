import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def boom(args): raise Exception("no deletion")
a = Thing("a", "v1", secret_value="s3cret-value", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_delete=[pulumi.ResourceHook("boom", boom)])))
