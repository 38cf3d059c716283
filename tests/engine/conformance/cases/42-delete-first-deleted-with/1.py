import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", opts=ResourceOptions(delete_before_replace=True))
b = Thing("b", "v1", opts=ResourceOptions(deleted_with=a))
c = Thing("c", b.arn, opts=ResourceOptions(deleted_with=b))
d = Thing("d", a.arn, opts=ResourceOptions(deleted_with=a))
