import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
b = Thing("b", "v2", shape="sq", opts=ResourceOptions(import_="z-2"))
