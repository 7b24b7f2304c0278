"""Start of routeguard, in three ways: as the console script, as `python -m guard`, and as a plain
file under `python -I -S` (what the shell wrappers and shims call, because it starts fastest and
because neither PYTHONPATH nor a sitecustomize can reach into it).

Python compiles a file that it is given anew at each start, so this one does nothing but load the
package and hand over to `guard.dispatch`.
"""

import sys


def run() -> None:
    """Console-script entry point."""
    if "guard" not in sys.modules:  # a plain file: an import would look elsewhere first
        from _frozen_importlib import _load  # type: ignore[attr-defined]
        from _frozen_importlib_external import spec_from_file_location

        for name, file in ("guard", "__init__"), ("guard.bytecode", "bytecode"):
            _load(spec_from_file_location(name, f"{__file__[:-11]}{file}.py"))
    from guard import bytecode

    bytecode.use()
    from guard.dispatch import main

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
