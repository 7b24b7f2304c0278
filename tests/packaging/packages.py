"""Commands in a home of their own, for the tests of what is shipped."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def uv_environ(built: Path) -> dict[str, str]:
    """What uv is given: the packages once for all homes, by the certificates of the machine."""
    return {
        "UV_CACHE_DIR": str(built / "uv-cache"),
        "UV_NATIVE_TLS": "1",
        "UV_SYSTEM_CERTS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def run(*argv: object, cwd: Path, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a home of its own; never raises on its exit status."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "SSL_CERT_")) or name.lower().endswith("_proxy")
    }
    kept.setdefault("PIP_CACHE_DIR", str(ROOT / ".cache" / "pip"))
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**kept, "HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def checked(result: subprocess.CompletedProcess[str]) -> str:
    """The standard output of a command that must have succeeded."""
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
