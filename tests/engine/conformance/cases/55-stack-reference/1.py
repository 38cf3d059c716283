import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1")
export("arn", a.arn)
export("s", Output.secret("zip-zap"))
