import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
s = Output.secret("hush-one")
a = Thing("a", "v1", tags={"n": s, "p": "plain"}, secret_value=Output.concat("pre-", s))
b = Thing("b", "v1", tags={"all": Output.concat(a.arn, "/", s)}, opts=ResourceOptions(additional_secret_outputs=["arn", "tags"]))
c = Thing("c", Output.unsecret(a.secret_value), shape=b.arn, tags=Output.secret({"k": "whole-sec"}))
export("b", b.tags)
export("mixed", {"list": [s, a.arn, {"arn": b.arn}], "id": Output.secret(a.id), "open": Output.unsecret(b.arn)})
