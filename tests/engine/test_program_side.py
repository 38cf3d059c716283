"""What the engine adds between a program's request and the resource: inherited options, what transforms see, secret marks."""

from __future__ import annotations

import json

from sandbox.engine.values import Secret
from tests.engine.stack import Stack

COMPONENT = """
class C(pulumi.ComponentResource):
    def __init__(self, name, opts=None, props=None, outputs=True):
        super().__init__("c:i:C", name, props or {}, opts)
        self.thing = Thing(name + "-thing", "v", opts=ResourceOptions(parent=self))
        if outputs:
            self.register_outputs({"arn": self.thing.arn})

"""


def test_children_inherit_what_their_parents_say_of_deletion(stack: Stack) -> None:
    text = COMPONENT + "box = Thing('box', 'v')\n"
    text += "above = dict(retain_on_delete=True, deleted_with=box, protect=True)\n"
    text += "a = Thing('a', 'v', opts=ResourceOptions(**above))\nC('c', ResourceOptions(**above))\n"
    text += "Thing('b', 'v', opts=ResourceOptions(parent=a))\n"
    text += "Thing('d', 'v', opts=ResourceOptions(parent=a, retain_on_delete=False, protect=False))"
    assert stack.run("up", text).ok
    box = "urn:pulumi:dev::conformance::probe:index:Thing::box"
    held = stack.resources()

    def of(name: str) -> tuple[bool, bool, str]:
        found = held[name]
        return found.protect, found.retain_on_delete, found.deleted_with

    assert of("c:i:C$probe:index:Thing::c-thing") == (True, True, box)
    assert of("probe:index:Thing$probe:index:Thing::b") == (True, True, box)
    assert of("probe:index:Thing$probe:index:Thing::d") == (False, False, box)


def test_options_that_a_transform_gives_a_component_reach_its_children(stack: Stack) -> None:
    text = COMPONENT + "def keep(args):\n    if not args.custom:\n"
    text += "        opts = ResourceOptions.merge(args.opts, ResourceOptions(protect=True))\n"
    text += "        return pulumi.ResourceTransformResult(args.props, opts)\n"
    text += "pulumi.runtime.register_resource_transform(keep)\nC('c')"
    assert stack.run("up", text).ok
    assert stack.resources()["c:i:C$probe:index:Thing::c-thing"].protect


def test_a_component_that_is_updated_has_the_outputs_that_it_registers_now(stack: Stack) -> None:
    stack.run("up", COMPONENT + "C('c', None, {'size': 1})")
    assert stack.resources()["c:i:C::c"].outputs == {"arn": "arn:probe:moon:c-thing-1"}
    assert stack.run("up", COMPONENT + "C('c', None, {'size': 2}, outputs=False)").changes == {"update": 1, "same": 2}
    assert stack.resources()["c:i:C::c"].outputs == {}


TRANSFORMS = """
kinds = []

def note(args):
    kinds.append(f"stack {args.name} {type(args.props['value']).__name__} {type(args.props.get('secretValue')).__name__}")

def own(args):
    kinds.append(f"own {args.name} {type(args.props['value']).__name__}")
    return pulumi.ResourceTransformResult({**args.props, "value": args.props["value"].apply(str.upper)}, args.opts)

def nothing(args):
    kinds.append(f"nothing {args.name} {type(args.props['tags']).__name__}")

pulumi.runtime.register_resource_transform(note)
x = Thing("x", "v")
a = Thing("a", x.arn, secret_value=Output.secret("hush-hush"))
b = Thing("b", x.arn, opts=ResourceOptions(transforms=[own]))
c = Thing("c", "v", tags={"of": x.arn}, opts=ResourceOptions(transforms=[nothing]))
pulumi.export("kinds", Output.all(a.id, b.id, c.id).apply(lambda _: sorted(kinds)))
"""


def test_transforms_see_outputs_where_pulumi_s_engine_gives_them(stack: Stack) -> None:
    assert stack.run("preview", TRANSFORMS).ok
    result = stack.run("up")
    assert result.outputs["kinds"] == [
        "nothing c Output",
        "own b Output",
        "stack a str Output",
        "stack b str NoneType",
        "stack c str NoneType",
        "stack x str NoneType",
    ]
    x = "urn:pulumi:dev::conformance::probe:index:Thing::x"
    a, b, c = stack.thing("a"), stack.thing("b"), stack.thing("c")
    assert (a.dependencies, a.property_dependencies) == ([x], {"value": [x]})
    assert (b.dependencies, b.inputs["value"]) == ([x], "ARN:PROBE:MOON:X-1")
    assert (c.dependencies, c.property_dependencies) == ([x], {"tags": [x]})
    assert a.inputs["secretValue"] == Secret("hush-hush")
    assert c.inputs["tags"] == {"of": "arn:probe:moon:x-1"}


def test_a_secret_input_is_secret_in_the_outputs_of_a_provider_that_forgets_it(stack: Stack) -> None:
    stack.provider = "tests.engine.odd_provider:ForgetfulProvider"
    text = "o = pulumi.CustomResource('odd:index:Odd', 'o', {'password': Output.secret('hush-hush'), 'size': %d})"
    for size in (1, 2):
        assert stack.run("up", text % size).ok
        held = stack.resources()["odd:index:Odd::o"]
        assert held.outputs == {"password": Secret("hush-hush"), "size": size}
        assert "hush-hush" not in stack.state.read_text()


def test_what_is_being_made_while_something_fails_is_in_the_state(stack: Stack) -> None:
    stack.provider = "tests.engine.slow_things:SlowThings"
    text = "Thing('slow', 'v')\nThing('bad', 'v')"
    result = stack.run("up", text)
    assert not result.ok
    assert "probe:index:Thing::slow" in stack.resources()
    assert json.loads(stack.state.read_text(encoding="utf-8"))["deployment"].get("pending_operations", []) == []
