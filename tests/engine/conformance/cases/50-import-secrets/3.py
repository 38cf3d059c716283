import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
b = Thing("b", "v2", tags={"x": "3", "y": "4"}, secret_value="other-value", opts=ResourceOptions(import_="a-1", ignore_changes=["tags.x", "secretValue"]))
