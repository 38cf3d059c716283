import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class K(pulumi.ComponentResource):
    pass
k0 = K("my:index:K", "k0", {"in": "1"}, ResourceOptions())
k0.register_outputs({"out": "1"})
k1 = K("my:index:K", "k1", {"in": "1"}, ResourceOptions())
k1.register_outputs({"out": "1"})
a = Thing.get("a", "y-1", opts=ResourceOptions(version="1.0.0"))
export("a", [a.value, a.arn])
b = Thing("b", a.id, tags={"k": "v1"}, opts=ResourceOptions())
export("b", [b.value, b.arn])
