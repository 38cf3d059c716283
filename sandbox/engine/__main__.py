"""``python -m sandbox.engine``; see ``sandbox.engine.cli``."""

import sys

from sandbox.engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
