import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
p = Provider("p", region="mars")
b = Thing.get("b", "a-1")
