import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
n = 0
def retry(args):
    global n
    n += 1
    pulumi.log.info(f"error hook {args.failed_operation} {args.errors}")
    return n < 3
a = Thing("a", "v1", fail="create", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook("r", retry)])))
