#!/usr/bin/env python3
"""`routeguard check` beside ripgrep and detect-secrets on one generated tree.

    python tests/bench/check.py [--files 10000] [--megabytes 100] [--keys 50] [--sample N]
                                [--detect-secrets PATH] [--rg PATH] [--runs 3] [--no-plain]

Generates a git work tree of random but plausible text with planted keys (random strings of the
vendors' forms), then measures in one run, taking turns: wall and processor time, the peak of its
memory, and how many of the planted keys were found at their line. The yardsticks:

- git's list and reading every file, in Python: what a tree without a hit should cost;
- ripgrep with the literals that routeguard looks for, in any case, counting lines;
- ripgrep with the patterns of keys;
- detect-secrets, once; `--sample N` gives it only the N files among which all planted ones are,
  since the whole tree takes it minutes: its time is then also shown as what the whole tree would
  take.

A program that is not installed is left out (gitleaks is in none of PyPI, npm and Debian 12).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import string
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"
HEX = "0123456789abcdef"
WORDS = tuple(
    word
    for line in (
        "request response handler provider model token stream buffer client server config default",
        "value index cache queue retry timeout error message session user account table column row",
        "field schema update insert delete select render layout theme widget button panel input",
        "output format parse encode decode digest verify signature header footer section task disk",
        "risk mask api key",
    )
    for word in line.split()
)
SHARES = {
    "py": 22, "ts": 22, "md": 10, "json": 12, "yaml": 8, "lock": 4, "css": 6, "sh": 3, "csv": 6,
    "sql": 7,
}  # fmt: skip
"""Files of each kind in a hundred."""
VENDORS = ("azure", "mistral", "portkey", "together", "openai", "anthropic", "gemini")
ONE_IN = 150
"""One line in this many names a vendor, as a repository that uses models may have it."""

KINDS = {
    "py": ("def {a}_{b}({c}):\n", "    return {a}.{b}({c}, {d})\n", "# {a} {b} {c}\n"),
    "ts": ("export const {a}{b} = ({c}: string) => {a}.{d}({c});\n", "// {a} {b}\n"),
    "md": ("The {a} {b} of the {c} is {d}.\n", "- {a}: `{b}`, see https://docs.example/{c}\n"),
    "json": ('  "{a}.{b}": "{c} {d}",\n', '  "{a}_api_key": "${{{b}}}",\n'),
    "yaml": ("{a}:\n  {b}: {c}\n", "  - {a}-{b} # {c}\n"),
    "lock": ("{a}-{b}@1.2.3:\n  integrity sha512-{hash}\n", "  resolved {a}.tgz#{sha}\n"),
    "css": (".{a}-{b} {{ color: #{color}; }}\n", ".sk-{a}-{b} {{ margin: 0 }}\n"),
    "sh": ('echo "{a} {b}" | grep {c}\n', "export {a}_{b}=${{{c}}}\n"),
    "csv": ("{uuid},{a},{sha}\n",),
    "sql": ("INSERT INTO {a} VALUES ('{uuid}', '{b} {c}');\n",),
}


def keys(chosen: random.Random) -> dict[str, str]:
    """One made-up key of each form that ripgrep can search for as well."""

    def drawn(alphabet: str, length: int) -> str:
        return "".join(chosen.choice(alphabet) for _ in range(length))

    return {
        "anthropic": f"sk-ant-api03-{drawn(URL_SAFE, 93)}AA",
        "openai": f"sk-proj-{drawn(URL_SAFE, 74)}T3BlbkFJ{drawn(LETTERS, 74)}",
        "openai-legacy": f"sk-{drawn(LETTERS, 20)}T3BlbkFJ{drawn(LETTERS, 20)}",
        "openrouter": f"sk-or-v1-{drawn(HEX, 64)}",
        "groq": f"gsk_{drawn(LETTERS, 52)}",
        "xai": f"xai-{drawn(LETTERS, 80)}",
        "huggingface": f"hf_{drawn(string.ascii_letters, 34)}",
        "replicate": f"r8_{drawn(LETTERS, 37)}",
        "perplexity": f"pplx-{drawn(LETTERS, 48)}",
        "nvidia": f"nvapi-{drawn(LETTERS, 64)}",
    }


def body(kind: str, size: int, chosen: random.Random) -> list[str]:
    """About `size` characters of lines of one kind."""
    lines: list[str] = []
    length = 0
    while length < size:
        words = chosen.choices(WORDS, k=4)
        if chosen.randrange(ONE_IN) == 0:
            words[0] = chosen.choice(VENDORS)
        line = chosen.choice(KINDS[kind]).format(
            a=words[0],
            b=words[1],
            c=words[2],
            d=words[3],
            hash=f"{chosen.getrandbits(340):086x}",
            sha=f"{chosen.getrandbits(160):040x}",
            color=f"{chosen.getrandbits(24):06x}",
            uuid=str(uuid.UUID(int=chosen.getrandbits(128))),
        )
        lines.extend(line.splitlines(keepends=True))
        length += len(line)
    return lines


def generate(root: Path, files: int, megabytes: int, planted: int) -> set[tuple[str, int]]:
    """Write the tree; (path, line) of each planted key."""
    chosen = random.Random(20261122)
    size = megabytes * 1_000_000 // files
    # bodies are drawn once per kind and cut differently: a fresh 100 MB would take a minute
    pools = {kind: body(kind, 40 * size, chosen) for kind in KINDS}
    where = set(chosen.sample(range(files), planted))
    places: set[tuple[str, int]] = set()
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    chosen.shuffle(kinds)
    made: list[str] = []
    for number in range(files):
        kind = kinds[number % len(kinds)]
        pool = pools[kind]
        start = chosen.randrange(len(pool))
        lines: list[str] = []
        length = 0
        target = int(size * chosen.uniform(0.2, 1.8))
        while length < target:
            line = pool[(start + len(lines)) % len(pool)]
            lines.append(line)
            length += len(line)
        path = f"d{number % 97}/s{number % 13}/f{number}.{kind}"
        if number in where:
            if not made:
                made = list(keys(chosen).values())
            line_number = chosen.randrange(len(lines)) + 1
            lines.insert(line_number - 1, f'  value = "{made.pop()}"\n')
            places.add((path, line_number))
        target_file = root / path
        target_file.parent.mkdir(parents=True, exist_ok=True)
        target_file.write_text("".join(lines))
    return places


@dataclass
class Run:
    """One run of a command: `memory` is the peak of its own process, in KiB (0: not known)."""

    seconds: float
    processor: float
    memory: int
    text: str
    status: int


def measure(command: list[str], cwd: Path, environ: dict[str, str]) -> Run:
    """Run `command` once. The peak is read while it runs: what `wait4` says has ours in it."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=environ, stdout=output, stderr=subprocess.DEVNULL
        )
        ended = threading.Event()
        peaks = [0]
        watching = threading.Thread(target=watch, args=(process.pid, ended, peaks))
        watching.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        ended.set()
        watching.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return Run(seconds, usage.ru_utime + usage.ru_stime, max(peaks), text, process.returncode)


def watch(pid: int, ended: threading.Event, peaks: list[int]) -> None:
    """Note the peak of the process's memory until it has ended (Linux: VmHWM, proc(5))."""
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        peaks += [int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmHWM:"]
        if ended.wait(0.02):
            return


def patterns() -> list[str]:
    """The prefixed patterns in ripgrep's syntax, those that need no word nearby."""
    from guard.catalog.secret_patterns import secret_patterns

    return [
        rf"\b{pattern.prefix}{pattern.body}"
        for pattern in secret_patterns().prefixed
        if not pattern.words
    ]


def literals() -> list[str]:
    """Every literal that the detectors look for; of a part of a character nothing, for ripgrep."""
    from guard.rules.detectors import DETECTORS
    from guard.rules.needles import Form

    found = set()
    for detector in DETECTORS:
        for needle in detector.needles:
            literal = needle.literal if isinstance(needle, Form) else needle
            found.add(literal.decode(errors="ignore"))
    return sorted(found - {""})


READ = """
import os, subprocess
words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
for name in subprocess.run(words, capture_output=True).stdout.split(b"\\0")[:-1]:
    with open(name, "rb", 0) as file:
        file.read()
"""
PLAIN = "import sys; sys.modules['hyperscan'] = None; from guard.__main__ import run; run()"


@dataclass
class Contender:
    """One row: a command, what it needs beside, and what came out of its runs."""

    name: str
    command: list[str]
    found: Callable[[str], str] = lambda text: ""
    environ: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: int = 0
    text: str = ""
    status: int = 0

    @property
    def best(self) -> float:
        """Seconds of the quickest run."""
        return min(self.seconds)

    def run(self, cwd: Path, environ: dict[str, str]) -> None:
        """Once more."""
        run = measure(self.command, cwd, {**environ, **self.environ})
        self.text, self.status = run.text, run.status
        self.seconds.append(run.seconds)
        self.processor.append(run.processor)
        self.memory = max(self.memory, run.memory)

    def show(self, note: str = "") -> None:
        """Its line of the table: the best and the median run, and the least processor time."""
        middle = sorted(self.seconds)[len(self.seconds) // 2]
        print(
            f"{self.name:36}{self.best:8.2f}{middle:9.2f}{min(self.processor):7.2f}"
            f"{self.memory / 1024:6.0f}  "
            f"{self.found(self.text):18}{note}",
            flush=True,
        )


def main() -> int:
    """Generate, measure, print; 1 if a planted key was missed or a false finding made."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-plain", action="store_true", help="not without Hyperscan as well")
    parser.add_argument("--sample", type=int, default=0, help="files for detect-secrets; 0: all")
    parser.add_argument("--detect-secrets", default=shutil.which("detect-secrets") or "")
    parser.add_argument("--rg", default=shutil.which("rg") or "")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="routeguard-bench-") as directory:
        root = Path(directory) / "tree"
        home = Path(directory) / "home"
        root.mkdir()
        home.mkdir()
        environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
        places = generate(root, arguments.files, arguments.megabytes, arguments.keys)
        subprocess.run(["git", "init", "-q", str(root)], check=True, env=environ)
        sizes = {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("f*.*")}
        total = sum(sizes.values())
        print(f"{len(sizes)} files, {total / 1e6:.0f} MB, {len(places)} planted keys\n")
        print(f"{'':36}{'best s':>8}{'median':>9}{'cpu s':>7}{'MiB':>6}  found")

        def ours(text: str) -> set[tuple[str, int]]:
            findings = json.loads(text)["findings"] if text else []
            return {
                (finding["location"]["path"], finding["location"]["line"])
                for finding in findings
                if finding["rule"] != "RG903"
            }

        def judged(text: str) -> str:
            found = ours(text)
            return f"{len(places & found)}/{len(places)}, {len(found - places)} false"

        def lines(text: str) -> str:
            parts = [line.split(":", 2) for line in text.splitlines()]
            found = {(path.removeprefix("./"), int(number)) for path, number, _ in parts}
            return f"{len(places & found)}/{len(places)}"

        guard = {"PYTHONPATH": str(ROOT)}
        check = ["check", "--format", "json"]
        named = sorted(sizes)[:3]
        python = sys.executable
        main_row = Contender(
            "routeguard check", [python, "-m", "guard", *check], judged, environ=guard
        )
        plain = Contender(
            "routeguard check, no Hyperscan", [python, "-c", PLAIN, *check], judged, environ=guard
        )
        three = Contender(
            "routeguard check, 3 named files",
            [python, "-m", "guard", *check, *named],
            environ=guard,
        )
        empty = Contender("an empty Python", [python, "-c", "pass"])
        reading = Contender("git's list, and read in Python", [python, "-c", READ])
        rows = [main_row, plain, reading, three, empty]
        if arguments.no_plain:
            rows.remove(plain)
        needles_file = Path(directory) / "literals"
        needles_file.write_text("\n".join(literals()) + "\n")
        rg_literals = None
        if arguments.rg:
            rg = [arguments.rg, "-uuu"]
            rg_literals = Contender(
                f"rg, the same {len(literals())} literals",
                [*rg, "-i", "-F", "-c", "-f", str(needles_file), "."],
            )
            each = [part for pattern in patterns() for part in ("-e", pattern)]
            rg_patterns = Contender(
                "rg, the patterns of keys", [*rg, "-n", "--no-heading", *each, "."], lines
            )
            rows[-3:-3] = [rg_literals, rg_patterns]
        for contender in rows:
            contender.run(root, environ)  # once before: caches, also the policy's
            contender.seconds.clear()
            contender.processor.clear()
        for turn in range(arguments.runs):
            for contender in rows if turn % 2 else reversed(rows):
                contender.run(root, environ)
        if main_row.status not in (0, 1):
            print(f"routeguard check ended with status {main_row.status}")
            return 1
        for contender in rows:
            note = ""
            if contender in (main_row, plain) and rg_literals:
                note = f"{contender.best / rg_literals.best:.1f} x rg's literals, "
            if contender in (main_row, plain):
                note += f"{contender.best / reading.best:.1f} x reading"
            if contender is three:
                note = f"{contender.best / empty.best:.1f} x an empty Python"
            contender.show(note)
        if arguments.json:
            figures = {
                "files": len(sizes),
                "megabytes": round(total / 1e6),
                "keys": len(places),
                "found": len(places & ours(main_row.text)),
                "false": len(ours(main_row.text) - places),
                "literals": len(literals()),
                "best_s": {row.name: row.best for row in rows},
                "cpu_s": {row.name: min(row.processor) for row in rows},
                "mib": {row.name: round(row.memory / 1024) for row in rows},
            }
            arguments.json.write_text(json.dumps(figures) + "\n")
        if arguments.detect_secrets:
            detect_secrets(arguments, root, environ, places, sizes, main_row.best)
        judged_rows = [row for row in rows if row in (main_row, plain)]
        return 0 if all(ours(row.text) == places for row in judged_rows) else 1


def detect_secrets(
    arguments: argparse.Namespace,
    root: Path,
    environ: dict[str, str],
    places: set[tuple[str, int]],
    sizes: dict[str, int],
    ours: float,
) -> None:
    """Measure detect-secrets once, on the whole tree or a sample with all planted keys."""
    scanned, share = root, 1.0
    if arguments.sample:
        scanned = root.with_name("sample")
        wanted = sorted({path for path, _ in places})
        others = sorted(sizes.keys() - set(wanted))
        random.Random(1).shuffle(others)
        taken = [*wanted, *others[: max(0, arguments.sample - len(wanted))]]
        for path in taken:
            (scanned / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, scanned / path)
        share = sum(sizes[path] for path in taken) / sum(sizes.values())

    def judged(text: str) -> str:
        found = {
            (path.removeprefix("./"), secret["line_number"])
            for path, secrets in json.loads(text)["results"].items()
            for secret in secrets
        }
        return f"{len(places & found)}/{len(places)}, {len(found - places)} others"

    row = Contender(
        "detect-secrets scan", [arguments.detect_secrets, "scan", "--all-files"], judged
    )
    row.run(scanned, environ)
    note = f"{row.best / share / ours:.0f} x routeguard"
    if share < 1:
        note = f"on {share:.1%} of the bytes; all: {row.best / share:.0f} s, {note}"
    row.show(note)


if __name__ == "__main__":
    raise SystemExit(main())
