import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
a = Thing("a", "v1", shape="flat", opts=ResourceOptions(delete_before_replace=True))
b = Thing("b", "v1", opts=ResourceOptions(replace_with=[a]))
c = Thing("c", "v1", opts=ResourceOptions(replace_with=[b]))
