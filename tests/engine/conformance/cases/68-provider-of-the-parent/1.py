import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class K(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("my:index:K", name, {}, opts)


two = "2.0.0"

p = Provider("p", region="mars")
a = Thing("a", "v1")
b = Thing("b", "v1", opts=ResourceOptions(parent=a, version=two))
c = Thing("c", "v1", opts=ResourceOptions(parent=b, version="3.0.0"))
k = K("k", ResourceOptions(parent=a))
d = Thing("d", "v1", opts=ResourceOptions(parent=k, version=two))
e = Thing("e", "v1", opts=ResourceOptions(version=two))
f = Thing("f", "v1", opts=ResourceOptions(parent=e))
g = Thing.get("g", e.id, opts=ResourceOptions(parent=a, version=two))
h = Thing("h", "v1", opts=ResourceOptions(parent=g, version="4.0.0"))
i = Thing("i", "v1", opts=ResourceOptions(parent=e, provider=p))
j = Thing("j", "v1", opts=ResourceOptions(parent=i, version=two))
l = Thing("l", "v1", opts=ResourceOptions(parent=p, version=two))
m = K("m", ResourceOptions(parent=e, providers=[p]))
n = Thing("n", "v1", opts=ResourceOptions(parent=m, version=two))
