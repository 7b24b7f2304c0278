"""How much of what `check` says of public repositories is right, as judged by hand.

    git clone https://github.com/mckaywrigley/chatbot-ui /tmp/public/chatbot-ui
    git -C /tmp/public/chatbot-ui checkout 81328b61d2a4
    .cache/tests/bin/python tests/bench/precision.py /tmp/public

precision.tsv lists the repositories, at which commit, and the judgement of each finding that was
looked at: all errors, and of the warnings outside of tests and examples a sample of 30 for each
repository, drawn with a fixed seed. A finding is right if the line does what the message says.
`--unjudged` prints what belongs to that and has no judgement yet, with its line of the checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLE = 30
SEED = 13

Place = tuple[str, str, int]
"""Rule, path and line of a finding."""


def judgements() -> tuple[dict[str, tuple[str, str]], dict[tuple[str, Place], bool]]:
    """(commit, whether the rules were mended after looking at it) by repository; whether a finding
    is right, by repository and place."""
    repositories: dict[str, tuple[str, str]] = {}
    judged: dict[tuple[str, Place], bool] = {}
    for line in (HERE / "precision.tsv").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        kind, name, *rest = line.split("\t")
        if kind == "repository":
            repositories[name] = (rest[0], rest[1])
        else:
            rule, path, number = rest[:3]
            judged[name, (rule, path, int(number))] = kind == "right"
    return repositories, judged


def found(checkout: Path) -> list[dict]:
    """The findings of `check` in a checkout."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "guard", "check", "--format", "json", "--no-baseline"],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(HERE.parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{checkout}: {done.stderr}")
    return json.loads(done.stdout)["findings"]


def place(finding: dict) -> Place:
    """By what a judgement names a finding."""
    at = finding["location"]
    return finding["rule"], at["path"], at["line"] or 0


def to_judge(findings: list[dict]) -> list[dict]:
    """All errors, and the sample of the warnings outside of tests."""
    errors = [one for one in findings if one["severity"] == "error"]
    warnings = [one for one in findings if one["severity"] == "warning" and not one["context"]]
    if len(warnings) > SAMPLE:
        warnings = random.Random(SEED).sample(sorted(warnings, key=place), SAMPLE)
    return errors + sorted(warnings, key=place)


def commit(checkout: Path) -> str:
    """What is checked out, in twelve digits; "" for what is no clone."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    """Print the tables; 1 if something that belongs to them is not judged."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("checkouts", type=Path, help="a directory with one checkout per repository")
    asked.add_argument("--unjudged", action="store_true", help="print what has no judgement")
    options = asked.parse_args()
    repositories, judged = judgements()
    right: dict[str, Counter] = {"tuned": Counter(), "held out": Counter()}
    of: dict[str, Counter] = {"tuned": Counter(), "held out": Counter()}
    missing = 0
    head = ("errors", "warnings", "notes", "in tests", "right/errors", "right/sample")
    print(f"{'repository':16}" + "".join(f"{word:>14}" for word in head))
    for name, (revision, which) in repositories.items():
        checkout = options.checkouts / name
        if not checkout.is_dir():
            print(f"{name:16} not there")
            continue
        if not revision.startswith("pypi") and commit(checkout) != revision:
            print(f"{name:16} is at {commit(checkout)}, was judged at {revision}")
        findings = found(checkout)
        product = Counter(one["severity"] for one in findings if not one["context"])
        aside = sum(one["context"] is not None for one in findings)
        good, every = Counter(), Counter()
        for one in to_judge(findings):
            verdict = judged.get((name, place(one)))
            if verdict is None:
                missing += 1
                if options.unjudged:
                    rule, path, line = place(one)
                    text = (checkout / path).read_text("utf-8", "replace").split("\n")
                    source = text[line - 1].strip()[:160] if line else ""
                    print(f"?\t{name}\t{rule}\t{path}\t{line}\t{one['severity']}\t{source}")
                continue
            for key in (one["severity"], (one["severity"], one["rule"])):
                every[key] += 1
                good[key] += verdict
        right[which].update(good)
        of[which].update(every)
        cells = [
            product["error"] + sum(o["severity"] == "error" for o in findings if o["context"]),
            product["warning"],
            product["note"],
            aside,
            f"{good['error']}/{every['error']}",
            f"{good['warning']}/{every['warning']}",
        ]
        print(f"{name:16}" + "".join(f"{cell:>14}" for cell in cells))
    for which in right:
        print(f"\n{which}:")
        for key in sorted(of[which], key=lambda key: (isinstance(key, tuple), str(key))):
            label = key if isinstance(key, str) else f"  {key[1]} {key[0]}"
            good, every = right[which][key], of[which][key]
            print(f"{label:18}{good:5} of {every:4} right  {good / every:.2f}")
    if missing:
        print(f"\n{missing} without a judgement: --unjudged prints them")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
