"""``python -m rotation.drill``: rotate every credential under load and report what failed.

The servers are named by the ordinary environment: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD (an administrator),
VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN, AWS_*, KUBECONFIG. Paths whose server is not named are left out and listed; so are
none of those that are asked for with ``--path``.

Exit codes: 0 nothing failed and nothing is left over, 1 something did or is, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rotation.drill import load, paths, report
from rotation.drill.target import Database
from rotation.errors import InvalidArgument, RotationError

MODES = ("threads", "asyncio")
_LEFT_WITHIN = 15.0
_NEEDS = {
    "vault-dynamic": ("VAULT_ADDR", "VAULT_TOKEN"),
    "vault-static": ("VAULT_ADDR", "VAULT_TOKEN"),
    "secrets-manager-single-user": ("AWS_ACCESS_KEY_ID|AWS_PROFILE|AWS_ROLE_ARN",),
    "secrets-manager-alternating-users": ("AWS_ACCESS_KEY_ID|AWS_PROFILE|AWS_ROLE_ARN",),
    "external-secret-file": ("KUBECONFIG",),
    "agent-file": ("VAULT_ADDR", "VAULT_TOKEN"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    from rich.console import Console

    console = Console(stderr=True)
    logging.getLogger("psycopg.pool").setLevel(
        logging.ERROR
    )  # what it replaces is counted; what fails is in the report
    rows: list[report.Row] = []
    loads: list[load.Load] = []
    skipped: dict[str, str] = {}
    try:
        database = Database()
        for name in options.path or paths.PATHS:
            if not options.path and (missing := _missing(name)):
                skipped[name] = f"{missing} not set"
                continue
            for mode in options.mode or MODES:
                console.print(f"{name}, {mode} ...", style="dim")
                row, one = drill(name, mode, database, options)
                rows.append(row)
                loads.append(one)
    except (RotationError, OSError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False)
        return 2 if isinstance(error, InvalidArgument) else 1
    report.show(rows, skipped)
    report.save(rows, options.json)
    if options.picture and rows:
        from rotation.drill import picture

        picture.draw(rows, loads, options.picture)
    return 0 if rows and all(row.passed for row in rows) else 1


def drill(name: str, mode: str, database: Database, options: argparse.Namespace) -> tuple[report.Row, load.Load]:
    """One path in one mode."""
    from rotation._credentials import Credentials

    path = paths.PATHS[name]
    if name == "external-secret-file":
        path = partial(paths.external_secret_file, which=options.external_secret)
    with path(database) as case:
        rotations = options.slow_rotations if case.slow else min(options.rotations, case.most or options.rotations)
        credentials = Credentials(case.source)
        try:
            credentials.current()
            run = _threads if mode == "threads" else _asyncio
            result = run(database, credentials, case, options, rotations)
        finally:
            credentials.close()
        if len(result.rotations) < rotations and not result.waited:
            result.waited.append(f"{len(result.rotations)} of {rotations} rotations happened")
        left = _left_over(case)
    return report.row(name, mode, result, replaced=credentials.counters.replaced, left_over=left), result


def _threads(database: Database, credentials: Any, case: paths.Case, options: Any, rotations: int) -> load.Load:
    from rotation._pool import RotatingConnectionPool

    size = {"min_size": options.connections, "max_size": options.connections, "kwargs": {"autocommit": True}}
    with RotatingConnectionPool(database.conninfo, credentials=credentials, open=True, **size) as pool:
        pool.wait()
        rotate = partial(case.rotate, credentials)
        return load.run(
            pool,
            requests=options.requests,
            rotations=rotations,
            rotate=rotate,
            threads=options.threads,
            pause=options.pause,
            rate=options.rate,
        )


def _asyncio(database: Database, credentials: Any, case: paths.Case, options: Any, rotations: int) -> load.Load:
    from rotation._pool_async import AsyncRotatingConnectionPool

    size = {"min_size": options.connections, "max_size": options.connections, "kwargs": {"autocommit": True}}

    async def scenario() -> load.Load:
        async with AsyncRotatingConnectionPool(database.conninfo, credentials=credentials, open=False, **size) as pool:
            await pool.wait()
            rotate = partial(case.rotate, credentials)
            return await load.run_async(
                pool,
                requests=options.requests,
                rotations=rotations,
                rotate=rotate,
                tasks=options.threads,
                pause=options.pause,
                rate=options.rate,
            )

    return asyncio.run(scenario())


def _left_over(case: paths.Case) -> int | None:
    """What is there once it had the time to go: an agent's earlier lease ends a little later."""
    if case.left_over is None:
        return None
    until = time.monotonic() + _LEFT_WITHIN
    while (left := case.left_over()) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def _missing(name: str) -> str:
    return ", ".join(
        need.replace("|", " or ") for need in _NEEDS[name] if not any(os.environ.get(each) for each in need.split("|"))
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rotation.drill", description="Rotate every credential under load and report what failed."
    )
    add = parser.add_argument
    add("--path", action="append", choices=list(paths.PATHS), help="only this delivery path; may be repeated")
    add("--mode", action="append", choices=MODES, help="only this mode; default both")
    add("--requests", type=_positive, default=20_000, help="at least so many for each path and mode (default 20000)")
    add("--rotations", type=_positive, default=50, help="for each path and mode (default 50)")
    add("--slow-rotations", type=_positive, default=5, help="where a clock rotates: Vault Agent's file (default 5)")
    add("--pause", type=float, default=0.25, metavar="SECONDS", help="between two rotations, at least (default 0.25)")
    add("--rate", type=float, default=1000, help="requests a second (default 1000; 0: as many as possible)")
    add("--threads", type=_positive, default=8, help="threads or tasks that make requests (default 8)")
    add("--connections", type=_positive, default=8, help="the pool's size (default 8)")
    add(
        "--external-secret",
        metavar="NAMESPACE/NAME",
        help="the ExternalSecret to refresh; default the first of a generator",
    )
    add("--json", type=Path, default=Path("build/drill.json"), metavar="FILE", help="default build/drill.json")
    add("--picture", type=Path, default=Path("build/drill.png"), metavar="FILE", help="default build/drill.png")
    return parser


def _positive(text: str) -> int:
    with suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")


if __name__ == "__main__":
    sys.exit(main())
