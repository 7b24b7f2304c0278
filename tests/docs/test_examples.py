"""Files that the pages show: whole, and read by what they are for."""

from __future__ import annotations

import json
import plistlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from shown import PAGES

FENCE = re.compile(r"(?:<!-- test: ([\w-]+) -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
READERS = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "xml": lambda text: plistlib.loads(text.encode()),
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


UNITS = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (_, language, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if language == "ini"
]


@pytest.mark.parametrize("text", UNITS)
def test_units_are_ones_that_systemd_reads(
    text: str, tmp_path: Path, missing_part: Callable
) -> None:
    if shutil.which("systemd-analyze") is None:
        missing_part("no systemd-analyze on PATH (Debian: apt install systemd)")
    home = tmp_path / "home"
    (start,) = re.findall(r"^ExecStart=%h/(\S+)", text, re.MULTILINE)
    program = home / start
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    unit = tmp_path / "example.service"
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(unit)],
        env={"HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
