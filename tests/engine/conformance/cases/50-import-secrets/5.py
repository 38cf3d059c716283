import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
b = Thing("b", "v2", opts=ResourceOptions(import_="z-2"))
c = Thing("c", b.arn, opts=ResourceOptions(parent=b))
