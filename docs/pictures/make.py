"""Makes the pictures of this folder: real commands, typed into a bash of 80 columns.

    .cache/tests/bin/python docs/pictures/make.py      after tests/run, which fetches the agent

It installs this clone into a home of its own (which asks the package index), and types there, in a
network, process table and home that hold nothing else. The key is an example. The one word changed
is the host of the package registry, as in README.md. Linux only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
AGENT = ROOT / "tests/parts/node_modules/opencode-linux-x64/bin/opencode"
COLUMNS = 80

SESSIONS = {
    "verify": ("routeguard verify",),
    "refused": (
        "export ANTHROPIC_API_KEY=sk-ant-example",
        'opencode run -m anthropic/claude-sonnet-4 "hi"',
    ),
    "doctor": ("routeguard doctor --offline",),
}
"""What is typed for each picture."""

COLOURS = {"31": "red", "32": "green", "33": "yellow", "34": "blue", "36": "cyan"}
_STYLE = """
.page{fill:#fff;stroke:#d0d7de} .text{fill:#1f2328} .dim{fill:#59636e} .bold{font-weight:bold}
.red{fill:#cf222e} .green{fill:#1a7f37}
.yellow{fill:#9a6700} .blue{fill:#0969da} .cyan{fill:#1b7c83}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117;stroke:#3d444d} .text{fill:#e6edf3} .dim{fill:#9198a1}
.red{fill:#ff7b72} .green{fill:#3fb950}
.yellow{fill:#d29922} .blue{fill:#58a6ff} .cyan{fill:#39c5cf}}
"""
_PART = re.compile(
    r"\x1b\[(\??[\d;]*)([A-Za-z])|\x1b\][^\x07]*\x07|\x1b[=>]|([\r\n\b])|([^\x1b\r\n\b]+)"
)


class Run(NamedTuple):
    """Characters of one line that look the same. `style` holds the names of CSS classes."""

    column: int
    text: str
    style: str


def lines(raw: str) -> list[list[Run]]:
    """What stands on a terminal after `raw`, line by line, for output that never goes up.

    Known are colours, the carriage return, backspace and "clear to the end of the line"; the rest
    of what a terminal is told does not change what stands there.
    """
    screen: list[dict[int, tuple[str, str]]] = [{}]
    column, style = 0, "text"
    for numbers, final, move, text in _PART.findall(raw):
        if final == "m":
            style = _style(style, numbers)
        elif final == "K":
            screen[-1] = {at: cell for at, cell in screen[-1].items() if at < column}
        elif move == "\r":
            column = 0
        elif move == "\b":
            column = max(0, column - 1)
        elif move == "\n":
            screen.append({})
        for character in text:
            if column == COLUMNS:
                screen.append({})
                column = 0
            screen[-1][column] = (character, style)
            column += 1
    return [list(_runs(row)) for row in screen]


def _style(before: str, numbers: str) -> str:
    """The classes after an escape sequence for colours."""
    names = set(before.split())
    for number in numbers.split(";"):
        if number in ("", "0"):
            names = {"text"}
        elif number in COLOURS:
            names = (names - {"text", "dim", *COLOURS.values()}) | {COLOURS[number]}
        elif number in ("1", "2"):
            names = names | {"bold"} if number == "1" else (names - {"text"}) | {"dim"}
        elif number == "39":
            names = (names - set(COLOURS.values())) | {"text"}
    return " ".join(sorted(names))


def _runs(row: dict[int, tuple[str, str]]) -> Iterator[Run]:
    begin, text, style = 0, "", "text"
    for column in range(max(row, default=-1) + 1):
        character, now = row.get(column, (" ", "text"))
        # a column of a table begins a run of its own, so that it stands where it should in any font
        if text and (now != style or (text.endswith("  ") and character != " ")):
            yield Run(begin, text, style)
            begin, text = column, ""
        text, style = text + character, now
    if text.strip():
        yield Run(begin, text.rstrip(), style)


def svg(screen: list[list[Run]], title: str) -> str:
    """The lines as a picture whose text can be selected, for light and dark pages."""
    wide, high, edge = 8.4, 19, 14
    width, height = COLUMNS * wide + 2 * edge, len(screen) * high + 2 * edge
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="page" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="6"/>',
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14" '
        'xml:space="preserve">',
    ]
    for number, row in enumerate(screen):
        if row:
            spans = "".join(
                f'<tspan x="{edge + run.column * wide:g}" class="{run.style}" '
                f'textLength="{len(run.text) * wide:g}">{escape(run.text)}</tspan>'
                for run in row
            )
            found.append(f'<text y="{edge + number * high + 14:g}">{spans}</text>')
    return "\n".join([*found, "</g>", "</svg>"]) + "\n"


def _type(home: Path, commands: tuple[str, ...]) -> str:
    """What the terminal is sent while `commands` are typed into a bash with the hook."""
    import pexpect

    child = pexpect.spawn(
        "bash",
        ["--rcfile", str(home / ".bashrc"), "-i"],
        cwd=home / "shop",
        env={
            "HOME": str(home),
            "PATH": f"{home}/.opencode/bin:/usr/bin:/bin",
            "PORTKEY_API_KEY": "pk-example",
            "PS1": "$ ",
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        },
        encoding="utf-8",
        timeout=180,
        dimensions=(60, COLUMNS),
    )
    child.sendline("bind 'set enable-bracketed-paste off'; PS1='$ '; clear; printf 'BEGIN\\n'")
    child.expect_exact("BEGIN\r\n")
    said = ""
    for command in commands:
        child.expect_exact("$ ")
        child.sendline(command)
        child.expect_exact(command)
        said += f"$ {command}"
        child.expect(r"\r\n(?=\$ $)|(?<=\r\n)(?=\$ $)")
        said += str(child.before) + "\r\n"
    child.close(force=True)
    return said


def _make(home: Path) -> None:
    """In the network of its own: type, and write the pictures."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    for name, commands in SESSIONS.items():
        said = _type(home, commands).rstrip()
        # no repository of code names a package registry's host
        said = re.sub(r"registry\.\w+\.\w+(?=:443)", "<package registry>", said)
        title = f"A terminal: {commands[-1]}"
        (HERE / f"{name}.svg").write_text(svg(lines(said), title), encoding="utf-8")
        print(f"{name}.svg")


def _main() -> None:
    if len(sys.argv) > 1:
        _make(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        (home / "shop" / ".git").mkdir(parents=True)
        (home / ".opencode" / "bin").mkdir(parents=True)
        shutil.copy(AGENT, home / ".opencode" / "bin")
        environ = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        environ |= {"HOME": str(home), "SHELL": "/bin/bash"}
        subprocess.run([ROOT / "install.sh", "--shell", "bash"], env=environ, check=True)
        alone = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "--"]
        subprocess.run([*alone, sys.executable, __file__, str(home)], check=True)


if __name__ == "__main__":
    _main()
