"""``python -m policies.state STATE.json``: the rules over an exported state, for CI. No engine, no server, no passphrase.

    pulumi stack export | python -m policies.state - --config policies/config/production.json --format sarif

A secret is a ciphertext there and stays one: a rule that would have to read it leaves it undecided. Exit codes: 0 nothing that
stops a deployment, 1 a mandatory violation or an exception that has ended, 2 the arguments or a file are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policies import report, suppressions
from policies.configuration import Configuration
from policies.data import mapping, plain, texts
from policies.errors import PolicyError, StateError
from policies.evaluate import Evaluation
from policies.registry import RULES
from policies.rule import Resource

OK, VIOLATED, USAGE = 0, 1, 2


def resources(document: Any) -> list[tuple[Resource, bool]]:
    """The resources of a state, each with whether this stack manages it (and does not only read it).

    Takes what ``pulumi stack export`` writes, a checkpoint file, or the deployment alone. What only waits to be deleted is left
    out, and what has been deleted and waits for its replacement. Raises StateError.
    """
    found = mapping(document)
    for key in ("checkpoint", "latest", "deployment"):
        found = mapping(found.get(key)) or found
    entries = found.get("resources")
    if entries is None and "manifest" in found:
        entries = []  # an empty stack has none
    if not isinstance(entries, list):
        raise StateError("expected a stack's state, as `pulumi stack export` writes it: it has no resources")
    made: list[tuple[Resource, bool]] = []
    for index, entry in enumerate(entries):
        urn = entry.get("urn") if isinstance(entry, dict) else None
        if not isinstance(urn, str) or urn.count("::") < 3:
            raise StateError(f"resources[{index}]: urn: expected a resource's URN")
        if not (entry.get("delete") or entry.get("pendingReplacement")):
            made.append((_resource(urn, entry), not entry.get("external")))
    return made


def _resource(urn: str, entry: Mapping[str, Any]) -> Resource:
    kind = entry.get("type")
    depends = mapping(entry.get("propertyDependencies"))
    return Resource(
        urn=urn,
        type=kind if isinstance(kind, str) else urn.split("::")[2].rpartition("$")[2],
        props=mapping(plain(entry.get("outputs"))),
        inputs=mapping(plain(entry.get("inputs"))),
        depends={key: texts(urns) for key, urns in depends.items()},
    )


def check(document: Any, evaluation: Evaluation) -> report.Report:
    """The findings over a state. Raises StateError."""
    found = resources(document)
    every = [resource for resource, _ in found]
    findings = [
        finding
        for resource, managed in found
        if managed
        for finding in evaluation.resource(Resource(urn=resource.urn, type=resource.type, props=resource.inputs))
    ]
    only_read = {resource.urn for resource, managed in found if not managed}
    findings += [finding for finding in evaluation.stack(every) if finding.urn not in only_read]
    return report.Report(findings, evaluation.ended, evaluation.unused(findings, every), len(found))


def _load(path: str) -> Any:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from error
    try:
        return json.loads(text.removeprefix("\ufeff"))  # a byte order mark, as Windows' shells write
    except ValueError as error:
        position = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise StateError(f"{path}: expected JSON ({position})") from None  # the error would quote the text
    except RecursionError:
        raise StateError(f"{path}: expected JSON (nested too deeply)") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m policies.state", description="Checks an exported Pulumi state against the policies."
    )
    parser.add_argument(
        "state", metavar="STATE", help="the file that `pulumi stack export` wrote; - for standard input"
    )
    parser.add_argument("--format", choices=tuple(report.FORMATS), default="table")
    parser.add_argument("--config", type=Path, metavar="FILE", help="levels and settings, as of --policy-pack-config")
    parser.add_argument(
        "--exceptions",
        type=Path,
        metavar="FILE",
        help=f"default {suppressions.FILE.parent.name}/{suppressions.FILE.name}",
    )
    try:
        options = parser.parse_args(arguments)
    except SystemExit as exit_:
        return USAGE if exit_.code else OK
    try:
        exceptions = suppressions.load(options.exceptions or suppressions.default_file(), [rule.name for rule in RULES])
        evaluation = Evaluation(RULES, Configuration.load(RULES, options.config), exceptions, suppressions.today())
        document = _load(options.state)
        try:
            found = check(document, evaluation)
        except StateError as error:
            raise StateError(f"{options.state}: {error}") from None
    except PolicyError as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE
    sys.stdout.write(report.FORMATS[options.format](found, "stdin" if options.state == "-" else options.state))
    return VIOLATED if found.fails else OK


if __name__ == "__main__":
    sys.exit(main())
