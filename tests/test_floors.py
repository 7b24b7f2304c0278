"""The plan of the house: a room imports from the floors below it, and from nothing else."""

from __future__ import annotations

import re

from import_graph import ROOT, imports, modules

FLOORS = (
    # room: what it holds; the rooms of one floor know nothing of each other
    {"__main__": "the file that Python is given: finds the package"},
    {"dispatch": "`hook` and `exec` go straight to the hot path, all else to cli"},
    {"cli": "the click group"},
    {"commands": "one file per verb: reads arguments, calls one room, renders"},
    {"doctor": "what is wrong on this machine, check by check"},
    {
        "portkey": "the gateway asked about itself",
        "install": "rc blocks, shims, completion",
        "managed": "agents' own files for administrators, from the system policy",
    },
    {"report": "the terminal, tables, JSON, SARIF, GitHub; words for times, paths and counts"},
    {"check": "the engine of `check`"},
    {"launch": "find the program, plan, refuse or become it; fence; proof"},
    {"rules": "detectors and the pages about the rules"},
    {"hook": "what the shell is told", "audit": "the log of launches"},
    {"agents": "adapter, registry, plan, environment, keys; a folder for each agent"},
    {
        "proxies": "local proxies: find, judge, stop, hold",
        "variables": "what is done with a variable, under which rule, in which words",
    },
    {"sources": "readers of one place each: they yield facts and judge nothing"},
    {"policy": "model, layers, merge, compile; values, places and cache for the hot path"},
    {"masking": "the one mask through which every text leaves the program"},
    {"catalog": "data about other people's names, with provenance"},
    {"findings": "what a rule found"},
    {
        "net": "URL, host, port",
        "paths": "our directories, the user's and the project's",
        "bytecode_file": "writes that file",
        "hot": "where the bytecode of a launch is kept",
    },
    {
        "files": "bounded reads, whole writes, locks",
        "rule_table": "the rules",
        "signals": "signals",
    },
    {
        "bytecode": "the modules of a launch in one file",
        "errors": "how a failure is said",
        "late": "regexes that are compiled when first used",
        "packages": "third-party packages for a Python started without them",
        "record": "plain records without dataclasses",
        "shells": "what is typed to change the environment",
    },
)
STOREY = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def test_every_room_has_its_floor() -> None:
    rooms = {name.split(".")[1] for name in modules()}
    assert rooms == set(STOREY)


def test_imports_run_downwards() -> None:
    wrong = []
    for name, path in modules().items():
        room = name.split(".")[1]
        for line, module in imports(path):
            other = module.split(".")[1] if "." in module else room
            if other != room and STOREY[other] <= STOREY[room]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    ours = modules()
    needs = {
        name: {module for _, module in imports(path)} & ours.keys() for name, path in ours.items()
    }
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    assert sorted(needs) == []


AGENT = re.compile(r"opencode|claude|codex", re.IGNORECASE)
AGENT_ROOMS = ("agents/claude_code", "agents/codex", "agents/opencode", "rules/agents")
NAMED = {
    "agents/registry.py": "which agents there are",
    "catalog/classify.py": "the prefix of an agent's variables, for a shell that has no policy",
    "files/around.py": "files of agents mark a project like those of other tools",
    "policy/model.py": "the table of an agent in the policy",
    "portkey/probe.py": "models and their vendors",
    "portkey/wishes.py": "models and their vendors",
}
"""Files outside of an agent's rooms that name one, and what for."""


def test_an_agent_is_named_in_its_own_rooms() -> None:
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if AGENT.search(path.read_text(encoding="utf-8"))
    }
    outside = {path for path in naming if not path.startswith(AGENT_ROOMS)}
    assert outside == NAMED.keys(), "say it with AGENTS[0].title, .names or .example"
