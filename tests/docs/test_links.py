"""Links between the pages lead somewhere, and the files that they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shown import PAGES, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:guard|tests|shell|docs|\.ci)/[\w./-]*\w[\w/]*)`")


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in LINK.findall(text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target
    for name in NAMED.findall(text):
        assert (ROOT / name).exists(), name


def test_every_page_is_reached_from_the_readme() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    linked = {target.partition("#")[0] for target in LINK.findall(text)}
    assert {f"docs/{page.name}" for page in PAGES[1:]} - linked == set()
