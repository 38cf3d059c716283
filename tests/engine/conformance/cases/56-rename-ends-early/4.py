import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class C(pulumi.ComponentResource):
    def __init__(self, name, kids, opts=None, stop=False):
        super().__init__("my:index:C", name, {}, opts)
        if stop: raise Exception("stopped here")
        self.t = {}
        for k in kids:
            self.t[k] = Thing(k, "v1", opts=ResourceOptions(parent=self))
            Thing(k + "-sub", "v1", opts=ResourceOptions(parent=self.t[k]))
        self.register_outputs({})

p = Thing("p", "v1")
c = C("e", ["x"], ResourceOptions(parent=p, aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]))
Thing("d", c.t["x"].arn, fail="update")
