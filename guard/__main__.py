"""Start of routeguard, in three ways: as the console script, as `python -m guard`, and as a plain
file under `python -I -S` (what the shell wrappers and shims call, because it starts fastest and
because neither PYTHONPATH nor a sitecustomize can reach into it).

Python compiles a file that it is given anew at each start, so this one does nothing but find the
package and hand over to `guard.dispatch`.
"""

import os
import sys


def run() -> None:
    """Console-script entry point. Our directory comes last on the path, so it shadows nothing."""
    parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if parent not in sys.path:
        sys.path.append(parent)
    from guard import bytecode

    bytecode.use()
    from guard.dispatch import main

    status = main(sys.argv[1:])
    bytecode.keep()
    sys.exit(status)


if __name__ == "__main__":
    run()
