"""CI runners: how a job knows where it runs, and how it hands variables on to later steps.

Sources, read as documentation and not tried here: docs.github.com/actions "Variables" and
"Workflow commands" (GITHUB_ENV); docs.gitlab.com/ci/variables/predefined_variables;
circleci.com/docs/env-vars (BASH_ENV); and the pages on predefined variables of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Runner:
    """A CI service: the variable by which a job knows it, and where its variables are set."""

    name: str
    sign: str
    set_in: str


RUNNERS = (
    Runner("GitHub Actions", "GITHUB_ACTIONS", "`env:` of the workflow, the job or the step"),
    Runner(
        "GitLab CI", "GITLAB_CI", "`variables:` in .gitlab-ci.yml, or Settings > CI/CD > Variables"
    ),
    Runner("CircleCI", "CIRCLECI", "`environment:` in .circleci/config.yml, or a context"),
    Runner("Azure Pipelines", "TF_BUILD", "`env:` of the step, or a variable group"),
    Runner("Bitbucket Pipelines", "BITBUCKET_BUILD_NUMBER", "Repository settings > Variables"),
    Runner("Buildkite", "BUILDKITE", "`env:` of the step, or an agent hook"),
    Runner("Jenkins", "JENKINS_URL", "`environment { }` or `withCredentials` in the Jenkinsfile"),
    Runner("TeamCity", "TEAMCITY_VERSION", "the parameters of the build configuration"),
    Runner("Travis CI", "TRAVIS", "`env:` in .travis.yml, or the repository's settings"),
    Runner("AppVeyor", "APPVEYOR", "`environment:` in appveyor.yml"),
    Runner("Drone", "DRONE", "`environment:` in .drone.yml"),
    Runner("AWS CodeBuild", "CODEBUILD_BUILD_ID", "`env:` in buildspec.yml, or the project"),
)
"""In this order; the first whose sign is set is the one."""

OTHER = Runner("a CI runner", "CI", "the variables of the job")
"""A runner that says no more than CI=true."""

_FALSE = ("", "0", "false", "no")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(=|<<)(.*)", re.DOTALL)


def runner(environ: Mapping[str, str]) -> Runner | None:
    """The runner that `environ` belongs to; None outside CI."""
    for known in (*RUNNERS, OTHER):
        if environ.get(known.sign, "").lower() not in _FALSE:
            return known
    return None


def handed_on(text: str) -> Iterator[tuple[str, str, int]]:
    """(name, value, line) of each assignment in the text of a GITHUB_ENV file.

    `NAME=value`, or `NAME<<WORD`, the value's lines, and a line that is WORD.
    """
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        number = at + 1
        match = _ASSIGNMENT.match(lines[at].removesuffix("\r"))
        at += 1
        if match is None:
            continue
        name, form, rest = match.groups()
        if form == "=":
            yield name, rest, number
            continue
        value = []
        while at < len(lines) and lines[at].removesuffix("\r") != rest:
            value.append(lines[at])
            at += 1
        at += 1
        yield name, "\n".join(value), number
