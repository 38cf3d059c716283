import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def boom(args): raise Exception("hook says no")
a = Thing("a", "v2", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook("boom", boom, opts=pulumi.ResourceHookOptions(on_dry_run=True))])))
