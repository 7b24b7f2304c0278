"""How far a setting in a file reaches."""

from __future__ import annotations

import pytest

from guard.sources import reach

JOBS = """env:
  SHARED: 1
jobs:
  # the first
  a:
    env: {IN_A: 1}
    steps:
      - run: CALL_A

  b:
    steps:
    - run: |
        export IN_B=1
        CALL_B
"""
GITLAB = """variables:
  SHARED: 1
.base: &base
  script: [TEMPLATE]
a:
  variables: {IN_A: 1}
  script:
    - CALL_A
b:
  script: CALL_B # IN_B
"""
SERVICES = """services:
  a:
    environment:
      - IN_A=1
    command: CALL_A
  b:
    command: CALL_B # IN_B
x-shared: SHARED
"""
STAGES = """ARG SHARED
FROM x AS base
ENV IN_A=1
FROM base
RUN CALL_A
FROM y
ENV IN_B=1
RUN CALL_B
"""
CODE = """SHARED = 1
@decorated
def a(
    b,
):
    use(IN_A)

    CALL_A()


class B:
    def c(self):
        IN_B

    def d(self):
        CALL_B
"""
SCRIPT = """const a = async (x: string): Promise<void> => {
  IN_A;
  CALL_A();
};
SHARED();
export default function b() {
  return { IN_B, CALL_B };
}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".github/workflows/a.yml", JOBS),
        (".gitlab-ci.yml", GITLAB),
        ("compose.yaml", SERVICES),
        ("Dockerfile", STAGES),
        ("a.py", CODE),
        ("a.ts", SCRIPT),
    ],
)
def test_a_setting_stays_in_its_part(name: str, text: str) -> None:
    parts = reach.parts(name, text)
    for setting, holds in (("SHARED", "AB"), ("IN_A", "A"), ("IN_B", "B"), ("TEMPLATE", "AB")):
        for place in "AB" if setting in text else "":
            covers = parts.covers(text.index(setting), text.index(f"CALL_{place}"))
            assert covers == (place in holds), (setting, place)


@pytest.mark.parametrize("name", ["a.sh", "a.yml", "Dockerfile", "a.py"])
@pytest.mark.parametrize("text", ["", "a", "jobs:", "jobs:\n", "FROM", "a:\n b: c\n"])
def test_without_parts_a_setting_reaches_everything(name: str, text: str) -> None:
    assert reach.parts(name, text).covers(0, len(text))
