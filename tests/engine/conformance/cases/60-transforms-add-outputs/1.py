import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
first = Thing("first", "v1")
def t(args):
    if args.type_ != "probe:index:Thing" or args.name == "first": return None
    return pulumi.ResourceTransformResult({**args.props, "tags": {"f": first.arn, "s": Output.secret("t-secret")}}, args.opts)
pulumi.runtime.register_resource_transform(t)
a = Thing("a", "v1")
b = Thing("b", a.arn)
def own(args):
    return pulumi.ResourceTransformResult({**args.props, "shape": b.arn}, ResourceOptions.merge(args.opts, ResourceOptions(depends_on=[a], delete_before_replace=True, protect=True)))
c = Thing("c", b.value, opts=ResourceOptions(transforms=[own]))
h = Holder("h", ["x"], c.arn, opts=ResourceOptions(transforms=[lambda args: pulumi.ResourceTransformResult({**args.props, "shape": first.arn}, args.opts) if args.custom else None]))
