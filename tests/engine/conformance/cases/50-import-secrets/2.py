import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
b = Thing("b", "v1", tags={"x": "1", "y": "2"}, secret_value="s3cret-value", opts=ResourceOptions(import_="a-1"))
