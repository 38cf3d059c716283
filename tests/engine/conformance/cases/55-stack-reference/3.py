import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
r = pulumi.StackReference("r", stack_name="dev")
export("copy", r.get_output("s"))
export("outs", r.outputs)
