"""The catalogue of local proxies: whole, and no hint of it forbids anything by itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.catalog import local_proxies
from guard.catalog.programs import effective

DATA = json.loads(Path(local_proxies.__file__).with_suffix(".json").read_text("utf-8"))
ENTRIES: list[dict[str, Any]] = DATA["proxies"]

SHARED = """
80 443 1234 1337 1455 3000 3001 4000 5000 5001 7860 7890 8000 8001 8080 8081 8082 8443 8585 8787
8888 9090 10000 12000 15000 30000
""".split()  # noqa: SIM905


def test_number_of_entries() -> None:
    assert len(ENTRIES) == 79
    assert len({entry["id"] for entry in ENTRIES}) == 79
    assert {entry["kind"] for entry in ENTRIES} == {"gateway", "model-server", "mitm"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_an_entry(entry: dict[str, Any]) -> None:
    assert set(entry) <= {*DATA["_meaning"], "id", "name", "kind", "sources"}
    assert entry["name"]
    assert entry["sources"] or entry["kind"] == "mitm"
    alone = set(entry.get("alone", ()))
    assert alone <= set(entry["ports"])
    assert (
        set(entry["evidence"]) == {str(port) for port in entry["ports"]}
        if "evidence" in entry
        else not entry["ports"]
    )
    for port in alone:
        assert entry["evidence"][str(port)] in "ABC", "a hint alone forbids nothing"
    for fingerprint in entry.get("fingerprints", ()):
        assert fingerprint["evidence"] in "ABC"
        assert fingerprint["path"].startswith("/")
        kinds = {"equals", "contains", "json", "header"} & set(fingerprint)
        assert kinds, "a status alone tells nothing"
    for key in ("paths", "titles", "asgi", "images"):
        for pattern in entry.get(key, ()):
            assert not re.search(pattern, ""), "matches everything"
            assert not re.search(pattern, "/home/user/project/src/main.py")


def test_distinctive_ports() -> None:
    ports = local_proxies.distinctive()
    assert {11434, 8317, 3456, 4141, 20128, 12434, 9997, 23333, 4891, 13305, 41343, 5483} <= ports
    assert ports.isdisjoint(map(int, SHARED))
    assert ports < local_proxies.default_ports()
    assert all(1024 <= port < 65536 for port in ports)


def test_by_port() -> None:
    (found,) = (one for one in local_proxies.proxies() if one.id == "ollama")
    assert (found.name, found.alone) == ("Ollama", (11434,))
    assert local_proxies.on_port(20128)[0].id == "omniroute"
    assert [one.id for one in local_proxies.on_port(8672)] == ["antigravity-claude-proxy"]
    assert local_proxies.on_port(1) == ()


def test_what_is_harmless_is_no_entry() -> None:
    for entry in DATA["not_proxies"]:
        assert entry["why"]
        assert entry["source"]
        for name in entry["names"]:
            assert local_proxies.harmless(name.upper()) == entry["why"]
            assert local_proxies.running(name, ()) is None
            assert name == name.lower()
    assert not local_proxies.harmless("litellm")
    assert local_proxies.forwards("kubectl")
    assert local_proxies.activates("systemd")


def test_what_starts_no_proxy_is_found_all_the_same() -> None:
    """A file or a prompt may start mitmproxy; what listens is another question."""
    for name in ("mitmproxy", "mitmdump"):
        assert local_proxies.started(effective("", (name,))) == (None, False)
        found = local_proxies.running(name, ())
        assert found is not None
        assert found.id == "mitmproxy"


def test_it_is_read_without_heavy_imports() -> None:
    code = (
        "import sys; from guard.catalog.local_proxies import distinctive; distinctive();"
        "print(sorted({'typing', 'dataclasses', 'tomllib', 'subprocess'} & set(sys.modules)))"
    )
    root = str(Path(local_proxies.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
