import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class C(pulumi.ComponentResource):
    def __init__(self, name, opts=None, **props):
        super().__init__("my:index:C", name, props, opts)



a = Thing("a", "v1")
k = C("k", x=1, arn=a.arn, nested={"deep": [a.size]})
k.register_outputs({"arn": a.arn, "thing": a})
l = C("l", ResourceOptions(depends_on=[k]), component=k, things=[a, Output.secret({"thing": a})])
m = Thing("m", "v1", opts=ResourceOptions(parent=l, depends_on=[k]))
export("things", [a, {"component": k}])
