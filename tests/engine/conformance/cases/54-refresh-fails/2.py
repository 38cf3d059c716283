import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1")
b = Thing("b", a.arn, opts=ResourceOptions(parent=a))
c = Thing("c", b.arn, opts=ResourceOptions(deleted_with=a, depends_on=[a]))
