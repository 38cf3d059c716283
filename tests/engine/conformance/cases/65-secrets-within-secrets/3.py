import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
b = Thing("b", "v1", tags={"all": "open"})
export("b", b.tags)
