"""``python -m sandbox.engine preview|up|refresh|destroy``: the engine's command line.

    python -m sandbox.engine up --program FILE_OR_DIR --stack dev --state dev.json --provider module:Class

Exit codes: 0 done, 1 failed (the run, or what it is run on), 2 usage, 3 (``preview --expect-no-changes`` only) there are changes.
The passphrase of the stack's secrets is PULUMI_CONFIG_PASSPHRASE, or the content of the file PULUMI_CONFIG_PASSPHRASE_FILE.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.engine.deployment import PARALLEL
from sandbox.engine.display import Display, PlainDisplay
from sandbox.engine.errors import EngineError, UsageError
from sandbox.engine.events import Audience
from sandbox.engine.jsonlines import JsonLines
from sandbox.engine.run import ACTIONS, run

OK, FAILED, USAGE, CHANGES = 0, 1, 2, 3
_HELP = {
    "preview": "show what `up` would do; nothing is changed",
    "up": "make the stack what the program says",
    "refresh": "take what is really there into the state",
    "destroy": "delete everything in the state",
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m sandbox.engine",
        description="Runs a Pulumi Python program with provider classes in this process.",
    )
    actions = made.add_subparsers(dest="action", required=True)
    for action in ACTIONS:
        one = actions.add_parser(action, help=_HELP[action], description=_HELP[action])
        one.add_argument("--program", required=True, help="the program: a file, or a folder with Pulumi.yaml")
        one.add_argument("--project", help="the project's name (default: Pulumi.yaml's)")
        one.add_argument("--stack", required=True, help="the stack's name")
        one.add_argument("--state", required=True, type=Path, help="the file of the stack's state; made when missing")
        one.add_argument("--config", action="append", default=[], metavar="K=V", help="a setting (repeatable)")
        one.add_argument(
            "--secret",
            action="append",
            default=[],
            metavar="K=V",
            help="a secret setting (repeatable); others see it in argv: prefer --config-file",
        )
        one.add_argument(
            "--config-file",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="instead of Pulumi.STACK.yaml (repeatable; the later wins)",
        )
        one.add_argument(
            "--provider", action="append", default=[], metavar="MODULE:CLASS", help="a provider class (repeatable)"
        )
        one.add_argument(
            "--policy-pack", action="append", default=[], type=Path, metavar="DIR", help="a policy pack (repeatable)"
        )
        one.add_argument(
            "--policy-pack-config",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="the configuration (JSON) of the policy pack at the same place (repeatable)",
        )
        one.add_argument(
            "--parallel", type=int, default=PARALLEL, metavar="N", help=f"operations at once (default {PARALLEL})"
        )
        one.add_argument("--json", action="store_true", help="one JSON line a step, then a summary")
        if action == "preview":
            one.add_argument("--expect-no-changes", action="store_true", help="exit with 3 where anything would change")
            one.set_defaults(preview_only=True)
        elif action == "up":
            one.set_defaults(preview_only=False)
        else:
            one.add_argument("--preview-only", action="store_true", help="show what would be done; nothing is changed")
    return made


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key:
            shown = item if option == "--config" else "..."  # it may be a secret
            raise UsageError(f"{option} {shown}: expected KEY=VALUE")
        pairs[key] = value
    return pairs


def _audience(options: argparse.Namespace) -> Audience:
    if options.json:
        return JsonLines(sys.stdout)
    if sys.stdout.isatty() and "TERM" in os.environ and os.environ["TERM"] != "dumb":
        return Display()
    return PlainDisplay()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as exit_:
        return USAGE if exit_.code else OK
    audience = _audience(options)
    try:
        # What a provider prints in this process must not come between the JSON lines.
        with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
            result = run(
                options.action,
                program=options.program,
                project=options.project,
                stack=options.stack,
                state=options.state,
                providers=options.provider,
                config=_pairs(options.config, "--config"),
                secrets=_pairs(options.secret, "--secret"),
                config_files=options.config_file,
                policy_packs=options.policy_pack,
                policy_pack_configs=options.policy_pack_config,
                preview=options.preview_only,
                parallel=options.parallel,
                audience=audience,
            )
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE
    except EngineError as error:
        if options.json:
            sys.stdout.write(json.dumps({"diagnostic": {"severity": "error", "message": str(error)}}) + "\n")
            sys.stdout.write(
                json.dumps({"summary": {"action": options.action, "result": "failed", "changes": {}}}) + "\n"
            )
        sys.stderr.write(f"error: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    finally:
        if isinstance(audience, Display):
            audience.close()
    if not result.ok:
        return FAILED
    if options.action == "preview" and options.expect_no_changes and result.has_changes:
        return CHANGES
    return OK
