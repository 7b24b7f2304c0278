"""Files that the pages show: whole, and read by what they are for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from shown import PAGES, ROOT

FENCE = re.compile(r"(?:<!-- test: ([\w-]+) -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
READERS = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
FILES = [
    pytest.param(language, text, id=f"{page.name}-{number}")
    for page in PAGES
    if page.name != "rules.md"
    for number, (_, language, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if language in READERS
]


@pytest.mark.parametrize(("language", "text"), FILES)
def test_files_are_whole(language: str, text: str) -> None:
    assert READERS[language](text) is not None


def test_the_unit_is_one_that_systemd_reads(tmp_path: Path, missing_part: Callable) -> None:
    if shutil.which("systemd-analyze") is None:
        missing_part("no systemd-analyze on PATH (Debian: apt install systemd)")
    page = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    (text,) = [text for name, _, text in FENCE.findall(page) if name == "systemd"]
    home = tmp_path / "home"
    shim = home / ".local/share/routeguard/shims/opencode"
    shim.parent.mkdir(parents=True)
    shim.touch(mode=0o755)
    unit = tmp_path / "opencode-review.service"
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(unit)],
        env={"HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
