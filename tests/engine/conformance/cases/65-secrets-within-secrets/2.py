import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
s = Output.secret("hush-two")
a = Thing("a", "v1", tags={"n": s, "p": "plain"}, secret_value=Output.concat("pre-", s))
b = Thing("b", "v1", tags={"all": Output.concat(a.arn, "/", s), "q": "open"}, opts=ResourceOptions(additional_secret_outputs=["arn", "tags"]))
c = Thing("c", Output.unsecret(a.secret_value), shape=b.arn, tags=Output.secret({"k": "whole-sec"}))
export("b", b.tags)
