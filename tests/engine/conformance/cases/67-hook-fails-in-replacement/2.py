import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def boom(args):
    raise Exception("no way")


boom = pulumi.ResourceHook("boom", boom)

a = Thing("a", "v1", shape="n", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(after_create=[boom])))
c = Thing("c", a.arn)
b = Thing("b", "v1", exclusive=True, opts=ResourceOptions(depends_on=[c]))
