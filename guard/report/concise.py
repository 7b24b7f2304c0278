"""One line for each finding, as compilers write them, for editors and for `grep`.

The form is that of GCC, which editors know: `path:line:column: severity: message`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import printable
from guard.report import text

if TYPE_CHECKING:
    from guard.check.result import Result


def render(result: Result, root: str) -> str:
    """`result` as one line for each finding and each remark; "" where there are none.

    Paths are shown relative to `root`.
    """
    return "\n".join(lines(result, root))


def lines(result: Result, root: str) -> list[str]:
    """The lines of `render`."""
    said = [
        f"{printable(text.place(finding, result.root, root))}: {finding.severity}: "
        f"{finding.rule} {printable(text.said(finding))}"
        for finding in result.findings
    ]
    return [*said, *(f"note: {printable(remark)}" for remark in result.remarks)]
