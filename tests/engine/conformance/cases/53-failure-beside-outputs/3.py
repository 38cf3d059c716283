import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v2")
b = Thing("b", a.arn, shape=Output.secret("q").apply(lambda x: x), fail="create")
c = Thing("c", b.arn)
export("arn", a.generation)
export("new", c.arn)
