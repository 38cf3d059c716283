import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", tags={"x": "1"}, secret_value="s3cret-value")
b = Thing("b", a.arn, opts=ResourceOptions(ignore_changes=["value"]))
c = Thing.get("c", a.id)
