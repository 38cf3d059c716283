"""``python3 -m sandbox.toolchain``: set-up by the machine's own Python. Parsed by old ones too, to tell them so."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the machine's Python is not chosen by pyproject.toml
    sys.exit(
        "error: strongroom needs Python 3.11 or later, and {} is {}.{}: run `make PYTHON=/path/to/a/newer/python3 ...`".format(
            sys.executable, *sys.version_info[:2]
        )
    )

from sandbox.toolchain.bootstrap import main

sys.exit(main())
