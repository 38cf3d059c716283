import pulumi
from pulumi import Output, ResourceOptions, export
from probe_sdk import *
def hook(kind):
    def f(args):
        pulumi.log.info(f"{kind} {args.name} {args.id} {args.new_inputs} {args.old_inputs} {args.new_outputs} {args.old_outputs}")
        with open(__import__('os').environ['PROBE_CLOUD'] + '.hooks', 'a') as f: f.write(f"{kind} {args.name}\n")
    return pulumi.ResourceHook(kind, f)
def boom(args): raise Exception("hook says no")

h = pulumi.ResourceHookBinding(before_create=[hook("bc")], after_create=[hook("ac")], before_update=[hook("bu")], after_update=[hook("au")], before_delete=[hook("bd")], after_delete=[hook("ad")])
a = Thing("a", "v2", shape="s", opts=ResourceOptions(hooks=h))
b = Thing("b", a.arn)
