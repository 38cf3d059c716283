import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
first = Thing("first", "v2", shape="new")
def t(args):
    if args.type_ != "probe:index:Thing" or args.name == "first": return None
    return pulumi.ResourceTransformResult({**args.props, "tags": {"f": first.arn, "g": first.generation.apply(str)}}, args.opts)
pulumi.runtime.register_resource_transform(t)
a = Thing("a", "v1")
h = Holder("h", ["x"], a.arn)
