"""YAML, JSON and TOML as nodes: values, places, and texts that no person wrote."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guard.files.read import MalformedError
from guard.sources.positions import json_nodes, toml_nodes, yaml_nodes
from guard.sources.positions.nodes import MAP, SCALAR, Node

YAML = """\
a: é plain \U0001d4b3 text
b: |
  opencode run é
    indented

  last
c: >-
  folded text
  here 'x'
d: 'it''s fine'
e: "dq \\"esc\\" end \\
   cont
   folded"
f: &x {k: v}
g: *x
h: multi line
  plain text
"""


def misplaced(text: str, root: Node) -> list[str]:
    """Characters whose place in the file holds another one; white space and escapes apart."""
    wrong = []
    for node in root.walk():
        if node.kind != SCALAR:
            continue
        assert len(node.text.places) == len(node.value) + 1
        for char, place in zip(node.value, node.text.places, strict=False):
            if not char.isspace() and text[place] not in (char, "\\"):
                wrong.append(f"{node.value}: {char}")
    return wrong


@pytest.mark.parametrize("text", [YAML, YAML.replace("\n", "\r\n")])
def test_yaml_places(text: str) -> None:
    (root,) = yaml_nodes.documents(text)
    assert misplaced(text, root) == []
    block = root.get("b")
    assert block is not None
    assert block.value == "opencode run é\n  indented\n\nlast\n"
    last = block.value.index("last")
    assert text[block.text.places[last] :][:4] == "last"
    assert root.get("c").value == "folded text here 'x'"  # type: ignore[union-attr]


def test_yaml_aliases_and_merge_keys_are_references() -> None:
    (root,) = yaml_nodes.documents("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: 2\n")
    assert root.get("b") is root.get("a")
    assert root.get("c", "x").value == "1"  # type: ignore[union-attr]
    assert [key.value for key, _ in root.get("c").entries()] == ["y", "x"]  # type: ignore[union-attr]


def test_yaml_documents_and_tags() -> None:
    roots = yaml_nodes.documents("a: 1\n---\nb: !!python/object:os.system x\n--- \n")
    assert [root.kind for root in roots] == [MAP, MAP, SCALAR]


def test_json_with_comments() -> None:
    text = '{"a": [1, "x\\"y\\n\\u00e9"], // c\n "b": {"c": true,}, /* x */ "d": [[],{}],}'
    root = json_nodes.document(text)
    assert misplaced(text, root) == []
    assert [item.value for item in root.get("a").items] == ["1", 'x"y\né']  # type: ignore[union-attr]
    assert root.get("b", "c").value == "true"  # type: ignore[union-attr]
    assert root.get("nothing", "at all") is None


@pytest.mark.parametrize("text", ["", "{", '{"a"}', '{"a": }', "[1 2]", '["a', "{} {}", "/* x"])
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(MalformedError):
        json_nodes.document(text)


def test_toml_places_are_those_of_the_keys() -> None:
    text = 'a = "b"\r\n\r\n[x.y]\r\nc = ["d"]\r\n'
    root = toml_nodes.document(text)
    found = root.get("x", "y", "c")
    assert found is not None
    assert text[found.start :].startswith("c = ")
    assert [item.value for item in found.items] == ["d"]


ODD = [
    "[" * 10_000,
    "{a: " * 10_000,
    '{"a":' * 10_000,
    "- " * 10_000,
    "a." * 10_000 + "b = 1",
    "a=" + "[" * 10_000,
    "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" if i else "a0: &a0 x" for i in range(2_000)),
    "a: *b",
    "&a [*a]",
    "\0" * 100,
    "\udcff\udcfe: \ud800",
    "a" * 3_000_000,
    "/*" * 10_000,
    '"' * 10_000,
    "\t: :\n -",
]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("parse", [yaml_nodes.documents, json_nodes.document, toml_nodes.document])
def test_odd_texts_are_refused_or_stay_small(parse: Callable[[str], object], text: str) -> None:
    try:
        found = parse(text)
    except MalformedError:
        return
    roots = found if isinstance(found, list) else [found]
    for root in roots:
        assert isinstance(root, Node)
        assert sum(1 for _ in root.walk()) <= 3 * len(text)
