"""The application: a pool on a database user that Vault replaces, under load from several threads.

    python application.py HOST PORT DATABASE TOKEN_FILE SECONDS

Vault is found by VAULT_ADDR and VAULT_CACERT. Prints requests, failed requests and the users that served them.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from rotation import RotatingConnectionPool, VaultDynamic, VaultKubernetesAuth

THREADS = 4


def main() -> int:
    host, port, database, token_file, seconds = sys.argv[1:]
    source = VaultDynamic("app-readwrite", auth=VaultKubernetesAuth("payment-api", token_file=token_file))
    users: set[str] = set()
    lock = threading.Lock()
    end = time.monotonic() + float(seconds)

    def client(_: int) -> tuple[int, int]:
        served = failed = 0
        while time.monotonic() < end:
            try:
                with pool.connection() as connection:
                    row = connection.execute("SELECT current_user").fetchone()
            except Exception as error:  # noqa: BLE001 - every failed request counts, whatever it failed of
                failed += 1
                print(f"failed: {error}", file=sys.stderr)
            else:
                served += 1
                with lock:
                    users.add(str(row[0]) if row else "")
            time.sleep(0.005)
        return served, failed

    with (
        RotatingConnectionPool(
            f"host={host} port={port} dbname={database}", credentials=source, min_size=2, max_size=THREADS, open=True
        ) as pool,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        results = list(threads.map(client, range(THREADS)))
    served, failed = (sum(column) for column in zip(*results, strict=True))
    print(f"requests={served} failed={failed} users={len(users)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
