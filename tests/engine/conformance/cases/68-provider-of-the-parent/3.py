import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class K(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("my:index:K", name, {}, opts)


two = "2.0.0"

p = Provider("p", region="mars")
def t(args):
    if args.name == "a":
        return pulumi.ResourceTransformResult(args.props, ResourceOptions.merge(args.opts, ResourceOptions(provider=p)))
pulumi.runtime.register_resource_transform(t)
a = Thing("a", "v1", opts=ResourceOptions(version=two))
b = Thing("b", "v1", opts=ResourceOptions(parent=a, version=two))
k = K("k", ResourceOptions(parent=a))
d = Thing("d", "v1", opts=ResourceOptions(parent=k))
q = Provider("q", region="venus", opts=ResourceOptions(parent=a))
y = Thing("y", "v1", opts=ResourceOptions(parent=q))
