import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class C(pulumi.ComponentResource):
    def __init__(self, name, v, opts=None):
        super().__init__("my:index:C", name, {"v": v}, opts)
        self.t = Thing(name + "-t", "v", shape=v, opts=ResourceOptions(parent=self, protect=True))
        self.register_outputs({"arn": self.t.arn})
a = Thing("a", "v1", exclusive=True, shape="square")
b = Thing("b", "v1", shape=a.arn)
c = C("c", b.arn)
