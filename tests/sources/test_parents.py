"""Where in the chain of processes a variable begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from guard.sources import parents, processes
from guard.sources.parents import Ancestor, origin


def chain(*names: set[str] | None) -> list[Ancestor]:
    return [
        Ancestor(100 - index, f"p{index}", None if found is None else frozenset(found))
        for index, found in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("above", "holder", "setter"),
    [
        (chain(set(), set()), None, "p0"),
        (chain({"A"}, set()), "p0", "p1"),
        (chain({"A"}, {"A"}, {"B"}), "p1", "p2"),
        (chain({"A"}, {"A"}), "p1", None),
        (chain({"A"}, None, {"A"}, None), "p2", None),
        (chain({"A"}, None, set()), "p0", None),
        (chain(None), None, None),
        (chain(), None, None),
    ],
)
def test_origin(above: list[Ancestor], holder: str | None, setter: str | None) -> None:
    found = origin("A", above)
    assert (found.holder.program if found.holder else None) == holder
    assert (found.setter.program if found.setter else None) == setter


def test_real_processes() -> None:
    """A shell that was started without the variable exports it to a Python that looks upwards."""
    ask = (
        "import json; from guard.sources import parents as p; c = p.ancestors();"
        "o = p.origin('ROUTEGUARD_TEST_NAME', c);"
        "print(json.dumps([o.holder and o.holder.program, o.setter.pid, c[0].pid]))"
    )
    ran = subprocess.run(
        ["/bin/sh", "-c", f'export ROUTEGUARD_TEST_NAME=x; "{sys.executable}" -c "$ASK"; :'],
        env={"PATH": os.environ["PATH"], "ASK": ask},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    holder, setter, parent = json.loads(ran.stdout)
    assert holder is None
    assert setter == parent


def test_this_process_has_ancestors() -> None:
    found = parents.ancestors()
    assert found[0].pid == os.getppid()
    assert len({ancestor.pid for ancestor in found}) == len(found)


def test_processes_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str, *arguments: Any, **options: Any) -> Any:
        if path.endswith(("/environ", "/comm")):
            raise PermissionError(path)
        return open(path, *arguments, **options)

    monkeypatch.setattr(processes, "open", denied, raising=False)
    found = parents.ancestors()
    assert found
    assert all(a.names is None and a.program == "?" for a in found)


def test_a_process_that_is_gone() -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    assert parents.ancestors(child.pid) == []
