"""The catalogue page, made from the rules: ``python -m policies.catalogue`` writes docs/policies.md.

``--check`` writes nothing and fails where the page is not what the rules say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from policies.registry import AREAS, RULES
from policies.rule import Option, Rule

PAGE = Path(__file__).resolve().parent.parent / "docs" / "policies.md"
_HEAD = """# Policies

<!-- Made by `python -m policies.catalogue` from policies/areas. Change the rules, then run it again. -->

{count} rules on what a stack that delivers secrets may not do. They are a Pulumi policy pack, and run in three ways:

| Where | How |
|---|---|
| Pulumi CLI | `pulumi preview --policy-pack policies --policy-pack-config policies/config/production.json` |
| without a server or a login | `make policy` previews dev, staging and production on the embedded engine; `make up` runs it too |
| over an exported state | `python -m policies.state STATE.json --format table`, `json` or `sarif` |

**Levels.** A critical or high rule is mandatory: it stops the deployment. A medium or low one is advisory. `policies/config` has
a file for each environment in the format of `--policy-pack-config`, which sets a rule's level (`disabled`, `advisory`,
`mandatory`, `remediate`) and its settings. Rules marked ✎ can mend what they find, at the level `remediate`.

**Unknown values.** What is not known before a deployment has run (the ARN of a new key) leaves a rule undecided: it says
"can't run policy", as an advisory, and decides at `up`. Predictable names keep IAM documents readable at preview.
A secret in an exported state is a ciphertext; rules see that it is there and not what it is. No message shows a value.

**Stack rules** (marked s) look at all resources together. In `pulumi up` they come after the last step, so gate on a preview.

**Exceptions** stand in `policies/exceptions.yaml`: the rule, the resource's URN (the root's for what is said of the whole
stack), a reason and the last day. Each use is reported, and each one that nothing needs; one that has ended fails the run.

"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD.format(count=len(RULES)), *_areas(), *_settings()]
    return "".join(parts).rstrip() + "\n"


def _areas() -> Iterator[str]:
    for area, rules in AREAS.items():
        yield f"## {area}\n\n| # | Rule | Name | Severity | Asked for by | Fix |\n|---|---|---|---|---|---|\n"
        for rule in sorted(rules, key=lambda found: (found.number, found.name)):
            yield _row(rule)
        yield "\n"


def _row(rule: Rule) -> str:
    marks = "".join((" s" if rule.check_stack else "", " ✎" if rule.remedy else ""))
    cells = (
        f"{rule.number}{marks}",
        f"[{rule.title}]({rule.link})",
        f"`{rule.name}`",
        str(rule.severity),
        ", ".join(rule.source),
        rule.remediation,
    )
    return "| " + " | ".join(_cell(text) for text in cells) + " |\n"


def _cell(text: str) -> str:
    """The text in a table: a `*` is only a star, and within backticks it already is."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|").replace("\n", " "))
    return "".join(part if part.startswith("`") else part.replace("*", "\\*") for part in parts)


def _settings() -> Iterator[str]:
    yield "## Settings\n\n| Rule | Setting | Default | Meaning |\n|---|---|---|---|\n"
    for rule in RULES:
        for name, option in rule.options.items():
            yield _setting(rule, name, option)
    yield "\n## Types\n\n| Rule | Looks at |\n|---|---|\n"
    for rule in RULES:
        yield f"| `{rule.name}` | {', '.join(f'`{kind}`' for kind in rule.types)} |\n"


def _setting(rule: Rule, name: str, option: Option) -> str:
    return f"| `{rule.name}` | `{name}` | `{json.dumps(option.default)}` | {_cell(option.meaning)} |\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m policies.catalogue", description="Write the catalogue of the rules."
    )
    parser.add_argument("--check", action="store_true", help="fail where the page differs; write nothing")
    options = parser.parse_args(arguments)
    text = page()
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"docs/{PAGE.name} is not what the rules say; run: python -m policies.catalogue", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
