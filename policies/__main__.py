"""The pack as the Pulumi CLI starts it: this folder run as a script, from within it. Prints its port and serves."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The modules here are those of a package; with this folder on the path they would also answer to bare names.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
sys.path.insert(0, str(HERE.parent))

from policies.pack import serve  # noqa: E402

if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(
            "A policy pack: pulumi preview --policy-pack policies. Over an exported state: python -m policies.state --help"
        )
        sys.exit()
    serve()
