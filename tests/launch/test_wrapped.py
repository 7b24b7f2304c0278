"""A script in front of an agent hands on what a launch gives it, or the launch is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Machine

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="run on Linux only")


def put(machine: Machine, text: str) -> Path:
    """A program of the user's own named opencode, first on PATH; REAL stands for the agent."""
    machine.says_its_version()
    (machine.bin / "opencode").unlink()
    real = str(machine.agent)
    return machine.script(machine.bin / "opencode", text.replace("REAL", real))


@pytest.mark.parametrize(
    "text",
    [
        '#!/bin/sh\nexec REAL "$@"\n',
        '#!/bin/bash\nREAL "$@"\n',
        '#!/usr/bin/env -S bash --norc\nexport SOME=thing\nsh -c \'exec REAL "$@"\' x "$@"\n',
        "#!/usr/bin/env python3\nimport os, sys\nos.execv('REAL', ['REAL', *sys.argv[1:]])\n",
        "#!/usr/bin/env python3\nimport subprocess as s, sys\n"
        "sys.exit(s.run(['REAL', *sys.argv[1:]]).returncode)\n",
        '#!/bin/sh\necho "using the one of the company" >&2\nexec REAL --print-logs "$@"\n',
        # what pnpm sets for its programs undoes nothing
        '#!/bin/sh\nexport NODE_PATH=/opt/node_modules\nexec REAL "$@"\n',
    ],
)
def test_a_script_that_hands_everything_on_is_started(machine: Machine, text: str) -> None:
    put(machine, text)
    done = machine.exec("opencode", "run", "hi")
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('exec env -i HOME="$HOME" PATH="$PATH" REAL "$@"', "changes OPENCODE_CONFIG_CONTENT, "),
        ('unset OPENCODE_CONFIG_CONTENT\nREAL "$@"', "changes OPENCODE_CONFIG_CONTENT on"),
        ('XDG_CONFIG_HOME=$HOME/.config exec REAL "$@"', "changes XDG_CONFIG_HOME on"),
        ('export OPENAI_API_KEY=x OPENCODE_CONFIG=/x\nREAL "$@"', "OPENAI_API_KEY, OPENCODE_CONF"),
        ('. "$HOME/.profile"\nexec REAL "$@"', "changes ANTHROPIC_BASE_URL on"),
        ('exec bash -lc \'exec "$0" "$@"\' REAL "$@"', "changes ANTHROPIC_BASE_URL on"),
        ('HOME=/ exec REAL "$@"', "changes HOME on"),
        ('cd /tmp\nexec REAL "$@"', "starts opencode in /tmp, and not in"),
        ('PWD=/tmp exec env PWD=/tmp REAL "$@"', "starts opencode in /tmp, and not in"),
        # one that starts itself again and again ends with the look
        ('[ "$ROUTEGUARD_LAUNCH" ] || exec REAL "$@"\n"$0" "$@"\nexit $?', "cannot see what"),
        ('[ "$ROUTEGUARD_LAUNCH" ] || echo 1.18.33', "cannot see what it hands on"),
    ],
)
def test_a_script_that_changes_it_is_refused(machine: Machine, text: str, said: str) -> None:
    profile = "export ANTHROPIC_BASE_URL=http://elsewhere.invalid\n"
    (machine.home / ".profile").write_text(profile)
    program = put(machine, f"#!/bin/sh\n{text}\n")
    done = machine.exec("opencode", "run", "hi")
    assert done.status == 126, done
    assert f"{program} " in done.err
    assert said in done.err
    assert "[RG207]" in done.err
    assert machine.started == 0
