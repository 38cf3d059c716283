import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class C(pulumi.ComponentResource):
    def __init__(self, name, v, opts=None):
        super().__init__("my:index:C", name, {"v": v}, opts)
        self.t = Thing(name + "-t", "v", shape=v, opts=ResourceOptions(parent=self))
        self.register_outputs({"arn": self.t.arn})
a = Thing("a", "v1", exclusive=True)
b = Thing("b", "v1", shape=a.arn)
c = C("c", b.arn)
d = Thing("d", c.t.arn)
e = Thing("e", "x", shape=d.arn)
f = Thing("f", "x", opts=ResourceOptions(depends_on=[c]))
g = Thing("g", "x", tags={"n": a.arn}, opts=ResourceOptions(replace_on_changes=["tags"]))
h = Thing("h", "x", tags={"n": a.arn}, shape=b.arn, opts=ResourceOptions(ignore_changes=["shape"]))
i = Thing("i", "x", shape=Output.secret(a.arn))
