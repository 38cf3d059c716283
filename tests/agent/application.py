"""Plays the application of a pod: reads its credentials from the agent's file whenever it connects, and never restarts.

    python application.py CREDENTIALS_FILE HOST PORT DATABASE

Prints one line for each request: the database user that served it, or ``FAILED`` and why. Ends when its input ends.
"""

from __future__ import annotations

import re
import select
import sys
from pathlib import Path

import psycopg

PAUSE = 0.1
EXPORT = re.compile(r'^export (\w+)="([^"]*)"$', re.MULTILINE)


def request(file: Path, host: str, port: int, database: str) -> str:
    """One connection and one query, with the credentials of this moment; read once more where they were just replaced."""
    for last in (False, True):
        found = dict(EXPORT.findall(file.read_text(encoding="utf-8")))
        try:
            with psycopg.connect(
                host=host, port=port, dbname=database, user=found["DB_USERNAME"], password=found["DB_PASSWORD"]
            ) as connection:
                row = connection.execute("SELECT current_user").fetchone()
                return str(row[0]) if row else "FAILED no row"
        except psycopg.OperationalError as error:
            if last:
                return f"FAILED {error}".replace("\n", " ")
    raise AssertionError("unreachable")


def main() -> None:
    file, host, port, database = sys.argv[1:]
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        print(request(Path(file), host, int(port), database), flush=True)


if __name__ == "__main__":
    main()
