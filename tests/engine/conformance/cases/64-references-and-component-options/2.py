import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
class C(pulumi.ComponentResource):
    def __init__(self, name, opts=None, **props):
        super().__init__("my:index:C", name, props, opts)



a = Thing("a", "v2", shape="n")
k = C("k", ResourceOptions(ignore_changes=["x"], replace_on_changes=["arn"]), x=2, arn="other")
l = C("l", ResourceOptions(ignore_changes=["component"]), things=[a])
m = Thing("m", "v1", opts=ResourceOptions(parent=l, depends_on=[k]))
export("things", [a, {"component": k}])
