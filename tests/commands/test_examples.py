"""What a help text or a message shows can be typed on any day."""

from __future__ import annotations

import re
import tomllib
from datetime import date, timedelta
from pathlib import Path

import forked
import pytest
from command_tree import commands

from guard.errors import UsageError
from guard.policy import spans
from guard.policy.accepted import _moment, _until

ROOT = Path(__file__).parents[2]


def test_every_help_text_has_an_example() -> None:
    """As the README says: a line of the epilog is a call of the command."""
    found = commands(hidden=False)
    assert len(found) > 40
    without = [path for path, one in found.items() if path not in (one.epilog or "")]
    assert without == []


def test_no_end_is_written_as_a_date() -> None:
    """`--since` may: what is past stays past."""
    pages = [*ROOT.glob("guard/commands/*.py"), *ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
    shown = [path for path in pages if re.search(r"--until[ =]\d", path.read_text("utf-8"))]
    assert shown == []


@pytest.mark.parametrize("form", ["{}", "{}T18:00"])
def test_the_day_of_an_example_is_accepted(form: str) -> None:
    assert spans.at(form.format(spans.soon()))


def test_an_error_shows_a_day_to_come() -> None:
    today = date.today()
    with pytest.raises(UsageError) as caught:
        spans.at("tomorrow")
    said = [caught.value.fix]
    for judge, value in ((_until, "x"), (_until, 1), (_moment, "x")):
        with pytest.raises(ValueError, match="such as") as wrong:
            judge(value)
        said.append(str(wrong.value))
    days = [date.fromisoformat(day) for day in re.findall(r"\d{4}-\d\d-\d\d", " ".join(said))]
    assert len(days) == 5
    assert all(today < day <= today + timedelta(days=spans.MAX_DAYS) for day in days)


def test_the_policy_of_a_day_has_an_example_to_come(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ran = forked.run(["policy", "init", "--dry-run"], cwd=tmp_path, env=env)
    example = ran.stdout.partition("# [[exception]]")[2].replace("\n# ", "\n")
    until = tomllib.loads(example)["until"]
    assert date.today() < until <= date.today() + timedelta(days=spans.MAX_DAYS)
