import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
r = pulumi.StackReference("organization/other/dev")
export("copy", r.get_output("s"))
