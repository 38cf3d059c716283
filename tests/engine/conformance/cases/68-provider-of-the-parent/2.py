import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class K(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("my:index:K", name, {}, opts)


two = "2.0.0"

a = Thing("a", "v1", opts=ResourceOptions(version=two))
b = Thing("b", "v1", opts=ResourceOptions(parent=a, version=two))
c = Thing("c", "v1", opts=ResourceOptions(parent=b, version="3.0.0"))
k = K("k", ResourceOptions(parent=a))
d = Thing("d", "v1", opts=ResourceOptions(parent=k))
