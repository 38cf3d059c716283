import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def boom(args):
    raise Exception("no way")


boom = pulumi.ResourceHook("boom", boom)

a = Thing("a", "v1", shape="n")
b = Thing("b", "v1", shape="n", exclusive=True, opts=ResourceOptions(depends_on=[a], hooks=pulumi.ResourceHookBinding(after_create=[boom])))
c = Thing("c", a.arn, opts=ResourceOptions(depends_on=[b]))
