import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def retry(args): return False
a = Thing("a", "v1", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook("r", retry)])))
