import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
r = pulumi.StackReference("organization/conformance/dev")
a = Thing("a", "v1")
b = Thing("b", r.require_output("arn"))
export("arn", a.arn)
export("s", Output.secret("zip-zap"))
export("copy", r.get_output("s"))
export("name", r.name)
export("nope", r.get_output("nope"))
