"""One result with everything in it that a report has to survive."""

from __future__ import annotations

import pytest

from guard.check.result import Result, Stats
from guard.findings import Excerpt, Finding

ESCAPE = "\x1b]0;owned\x07"


@pytest.fixture
def result() -> Result:
    """A key in a hostile path, a call with a fix of two lines, a call over two lines, a variable
    of the environment, a file as a whole; one finding of each kind that is held back."""
    findings = (
        Finding(
            "RG111",
            "Anthropic",
            "a key of Anthropic",
            fix="revoke it",
            path=f"a dir/50%,x:y\n{ESCAPE}\udcff.py",
            line=3,
            column=5,
            end_line=3,
            end_column=40,
            digest="0123abcd",
            excerpt=Excerpt('    key = "sk****AA"  # 模型', 11, 19),
        ),
        Finding(
            "RG206",
            "opencode run",
            "names no model; see [here](https://evil.example) and 100%",
            fix="name it:\n-m portkey/gpt-4o",
            path="b.sh",
            line=1,
            column=1,
            end_line=2,
            end_column=7,
            context="tests/",
        ),
        Finding("RG101", "OPENAI_API_KEY", "OPENAI_API_KEY reaches OpenAI", where="environment"),
        Finding("RG903", "big.bin", "not checked: too large", path="big.bin"),
        Finding("RG301", "/etc/x", "code", path="/etc/x y", line=1, column=1),
    )
    held = Finding("RG203", "serve", f"a server{ESCAPE}", path="c.sh", line=1, column=1)
    return Result(
        findings=findings,
        fingerprints=tuple(f"{number:016x}" for number in range(len(findings))),
        suppressed=(held,),
        baselined=(held,),
        excepted=(held,),
        placeholders=(held,),
        files_checked=3,
        files_skipped=1,
        root="/work/tree",
        seconds=0.25,
        stats=Stats(5_000_000, (("binary", 3), (f"odd{ESCAPE}", 1)), 0.125, 0.5),
        remarks=(f"sub{ESCAPE}: another repository\n::error::injected",),
    )
