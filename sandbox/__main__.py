"""The sandbox's commands: ``python -m sandbox up|preview|refresh|destroy|down|env|status|logs|drill|policy``.

Exit codes: 0 done, 1 failed (a run of the stack that was interrupted, too), 2 usage, 130 interrupted before or after such a run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sandbox import policy, servers, stack, summary, tools
from sandbox.endpoints import Endpoints
from sandbox.process import foreground
from sandbox.servers.errors import ServerError
from sandbox.toolchain import go, paths
from sandbox.toolchain.errors import ToolchainError

ENGINES = ("embedded", "pulumi")


def state_dir() -> Path:
    """``$STRONGROOM_SANDBOX``, else ``.sandbox`` in the checkout."""
    return Path(os.environ.get("STRONGROOM_SANDBOX") or stack.ROOT / ".sandbox")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A cloud that fits a laptop.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start the servers and deploy the dev stack"),
        ("preview", "show what `up` would change"),
        ("refresh", "read what is really there into the state"),
        ("destroy", "remove what the stack made; the servers stay"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--engine", choices=ENGINES, default=os.environ.get("ENGINE") or "embedded")
    commands.add_parser("down", help="stop the servers and remove all that they kept")
    commands.add_parser("env", help="print the exports with which kubectl, bao, aws and psql talk to the sandbox")
    commands.add_parser("status", help="which server runs, where, and since when")
    drill = commands.add_parser("drill", help="rotate every credential under load", add_help=False)
    drill.add_argument("arguments", nargs="*", help="those of `python -m rotation.drill`")
    logs = commands.add_parser("logs", help="print a server's log")
    logs.add_argument("server", nargs="?", help="its name, as `status` gives it; all of them where it is left out")
    policies = commands.add_parser(
        "policy", help="check the environments' configurations against the policies; needs no server"
    )
    policies.add_argument(
        "environments", nargs="*", metavar="ENVIRONMENT", help="dev, staging, production; default all"
    )
    policies.add_argument(
        "--program", type=Path, default=stack.ROOT, help="another program's folder; default this stack"
    )
    policies.add_argument("--format", choices=("table", "json"), default="table")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options, rest = parser.parse_known_args(given)
    options.given = given  # the drill parses its own
    if rest and options.command != "drill":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    console = Console(stderr=True)
    try:
        return _run(options, console)
    except (ServerError, ToolchainError, stack.StackError, FileNotFoundError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the servers that were started stay: `make down` stops them")
        return 130


def _run(options: argparse.Namespace, console: Console) -> int:
    place = state_dir()
    if options.command == "down":
        servers.stop(place)
        return 0
    if options.command == "status":
        found = servers.status(place)
        summary.servers(Console(), found)
        for server in found:
            if server.trouble:
                console.print(f"[bold red]{server.name}[/] {server.trouble}", highlight=False)
        return 1 if any(server.trouble for server in found) else 0
    if options.command == "policy":
        reports = [policy.check(name, options.program) for name in options.environments or policy.ENVIRONMENTS]
        if options.format == "json":
            print(policy.as_json(reports))
        else:
            policy.print_tables(reports)
        return 0 if all(report.ok for report in reports) else 1
    if options.command == "logs":
        sys.stdout.write(servers.logs(place, options.server))
        return 0
    if options.command == "env":
        for name, value in Endpoints.load(place).env().items():
            print(f"export {name}={shlex.quote(value)}")
        own = str(tools.folder(place.resolve()))
        if own not in os.environ.get("PATH", "").split(os.pathsep):
            print(f'export PATH="$PATH":{shlex.quote(own)}')  # last: a tool of the user's own wins
        return 0
    if options.command == "drill":
        return _drill(Endpoints.load(place), options.given[1:])
    began = time.monotonic()
    if options.command == "up":
        go.wait_for(go.BINARIES, console)
        endpoints = servers.start(place, on_progress=summary.progress(console))
        tools.link(place)
    else:
        endpoints = Endpoints.load(place)
    stack.refuse_other_engine(place, options.engine)
    run = stack.run if options.engine == "embedded" else stack.run_with_pulumi
    code = run(options.command, endpoints)
    if options.command == "up" and code == 0:
        outputs = stack.outputs(place, options.engine)
        summary.page(Console(), endpoints, servers.status(place), outputs, time.monotonic() - began)
    return code


def _drill(endpoints: Endpoints, arguments: Sequence[str]) -> int:
    """The drill of ``rotation``, a program of its own, on this sandbox: told where by the ordinary environment."""
    programs = {str(paths.wheel_binary(name).parent) for name in ("bao", "kubectl")}
    environment = {**os.environ, **endpoints.env(), "PATH": os.pathsep.join([*programs, os.environ.get("PATH", "")])}
    command = [sys.executable, "-m", "rotation.drill", *arguments]
    return foreground(command, env=environment, cwd=stack.ROOT)


if __name__ == "__main__":
    sys.exit(main())
