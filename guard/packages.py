"""Third-party packages, for a Python that was started without them (`-S`: half the time to start).

Hot-path module.
"""

from __future__ import annotations

import sys


def make_importable() -> None:
    """Let third-party packages be imported from here on. A second call changes nothing."""
    if sys.flags.no_site and "site" not in sys.modules:
        import site

        site.main()
