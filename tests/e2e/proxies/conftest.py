"""Real local proxies, each in a network of its own, beside programs that are none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lab.network import Network, NoNetworkError
from lab.person import PROGRAMS, Person
from lab.servers import MissingProgramError, Programs, Server, Start

MissingPart = Callable[[str], NoReturn]


@pytest.fixture
def person(tmp_path: Path, missing_part: MissingPart) -> Iterator[Person]:
    """A user in a network where nothing listens."""
    try:
        made = Network()
    except NoNetworkError as error:
        missing_part(str(error))
    with made as network:
        yield Person(tmp_path, network)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Where the real programs are."""
    return Programs(tmp_path)


@pytest.fixture
def start(person: Person, programs: Programs, missing_part: MissingPart) -> Start:
    """Starts a real program; what is not installed fails in CI and skips on a laptop."""

    def started(server: Server, before: Sequence[str | Path] = ()) -> subprocess.Popen[bytes]:
        try:
            words = server.words(programs)
            cwd = server.cwd(programs) if server.cwd else None
        except MissingProgramError as error:
            missing_part(str(error))
        environ = {**server.environ, "CONFIG_FILE_PATH": str(programs.config)}
        return person.start([*before, *words], environ, cwd)

    return started


@pytest.fixture(scope="session")
def static(
    tmp_path_factory: pytest.TempPathFactory, missing_part: MissingPart
) -> Callable[[str], Path]:
    """Makes the static C server under a name, as a compiled program has it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        missing_part("no C compiler: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("static")
    made = folder / "server"
    source = PROGRAMS / "server.c"
    subprocess.run([compiler, "-static", "-Wall", "-Wextra", "-o", made, source], check=True)

    def named(name: str) -> Path:
        program = folder / name
        if not program.exists():
            shutil.copy(made, program)
        return program

    return named
