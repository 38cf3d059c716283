import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
import os
def note(text):
    with open(os.environ["PROBE_CLOUD"] + ".hooks", "a") as f: f.write(text + "\n")
async def h(args): note("async " + args.name)
def sec(args): note(str(type(args.new_inputs.get("secretValue"))))
def bad(args): raise Exception("ignored trouble")
a = Thing("a", "v1", secret_value="s3cret-value", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(before_create=[h, sec, pulumi.ResourceHook("bad", bad, opts=pulumi.ResourceHookOptions(ignore_errors=True, on_dry_run=True))], after_create=[pulumi.ResourceHook("dry", h, opts=pulumi.ResourceHookOptions(on_dry_run=True))])))
class C(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("my:index:C", name, {"v": 1}, opts)
        self.t = Thing(name + "-t", "v1", opts=ResourceOptions(parent=self))
        self.register_outputs({"o": self.t.arn})
C("c", ResourceOptions(hooks=pulumi.ResourceHookBinding(after_create=[h])))
