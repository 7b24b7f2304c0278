"""gateway.ca: a file that others or a project could change decides nothing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import certifi
import pytest

from guard import paths
from guard.errors import PolicyError
from guard.policy import authority
from guard.policy.problems import InvalidPolicyError

BEGIN = "-----BEGIN CERTIFICATE-----"


@pytest.fixture(scope="module")
def pem() -> str:
    """One certificate of a public authority."""
    text = Path(certifi.where()).read_text()
    found = re.search(f"{BEGIN}.*?-----END CERTIFICATE-----\n", text, re.DOTALL)
    assert found
    return found.group()


@pytest.fixture
def ca(machine, pem: str) -> Path:
    """The file of a policy that is fine."""
    path = machine.home / "certs" / "ca.pem"
    path.parent.mkdir()
    machine.write(path, pem, 0o644)
    named(machine, path)
    return path


def named(machine, path: Path | str, layer: str = "user") -> None:
    """Let the policy of `layer` name `path`."""
    machine.write(getattr(machine, layer), f'schema = 1\n[gateway]\nca = "{path}"\n')


def refused(machine) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        machine.load()
    return caught.value


@pytest.mark.parametrize("layer", ["user", "system"])
def test_it_holds(machine, ca: Path, layer: str) -> None:
    machine.user.unlink()
    named(machine, ca, layer)
    assert machine.load().gateway_ca == str(ca)
    assert machine.load().gateway_ca == str(ca)


def test_a_project_names_none(machine, ca: Path) -> None:
    machine.write(machine.project, f'[gateway]\nca = "{ca}"\nproxy = "http://127.0.0.1:1"')
    machine.user.unlink()
    policy = machine.load()
    assert (policy.gateway_ca, policy.gateway_proxy) == ("", "")
    assert len(policy.notes) == 2
    assert "a project cannot choose" in policy.notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "names a file that does not exist"),
        ("", "is not a PEM file"),
        ("hello", "is not a PEM file"),
        ("\x30\x82\x03\x01", "openssl x509 -inform der"),
        (f"{BEGIN}\nMIIB", "is not a PEM file"),
        (f"{BEGIN}\n!!!!\n-----END CERTIFICATE-----", "cannot be read"),
        ("{pem}" + f"{BEGIN}\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        ("{pem}" + f"{BEGIN}\nMIIB", "is not a PEM file"),
        ("{pem}-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", "private key"),
        ("{pem}-----BEGIN RSA PRIVATE KEY-----\n", "private key"),
    ],
)
def test_what_is_not_certificates(machine, ca: Path, pem: str, content, words: str) -> None:
    ca.unlink()
    if content is not None:
        machine.write(ca, content.replace("{pem}", pem).encode("latin-1"), 0o644)
    error = refused(machine)
    assert isinstance(error, InvalidPolicyError)
    (problem,) = error.problems
    assert (problem.file, problem.line, problem.key) == (str(machine.user), 3, "gateway.ca")
    assert words in problem.full


def test_no_file(machine, ca: Path) -> None:
    ca.unlink()
    for make in (ca.mkdir, lambda: os.mkfifo(ca)):
        make()
        assert "cannot be read" in str(refused(machine).why)
        os.rmdir(ca) if ca.is_dir() else ca.unlink()


@pytest.mark.parametrize("cached", [False, True], ids=["read now", "policy in the cache"])
class TestOthers:
    """Whoever can change it, with the policy compiled before the change or after it."""

    @pytest.fixture(autouse=True)
    def compiled(self, machine, ca: Path, cached: bool) -> None:
        if cached:
            machine.load()

    @pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
    def test_the_file(self, machine, ca: Path, mode: int) -> None:
        ca.chmod(mode)
        assert f"others can write {ca}" in refused(machine).why

    @pytest.mark.parametrize("mode", [0o777, 0o757])
    def test_a_directory(self, machine, ca: Path, mode: int) -> None:
        ca.parent.chmod(mode)
        assert f"others can write {ca.parent}" in refused(machine).why

    def test_a_directory_further_up(self, machine, ca: Path) -> None:
        machine.home.chmod(0o777)
        assert f"others can write {machine.home}" in refused(machine).why

    def test_a_sticky_directory_is_fine(self, machine, ca: Path) -> None:
        ca.parent.chmod(0o1777)
        assert machine.load().gateway_ca

    def test_a_link_in_a_directory_of_others(self, machine, ca: Path) -> None:
        shared = machine.home / "shared"
        shared.mkdir()
        (shared / "ca.pem").symlink_to(ca)
        named(machine, shared / "ca.pem")
        machine.load()
        shared.chmod(0o777)
        assert f"others can write {shared}" in refused(machine).why

    def test_another_owner(self, machine, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if os.geteuid() == 0:
            os.chown(ca, 12345, 12345)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 54321)
        assert "belongs to user id" in authority.changeable(str(ca))

    def test_content(self, machine, ca: Path) -> None:
        machine.write(ca, "not any more", 0o644)
        assert "is not a PEM file" in refused(machine).why

    def test_it_is_gone(self, machine, ca: Path) -> None:
        ca.unlink()
        assert "does not exist" in refused(machine).why


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("spelling", ["plain", "..", "link to it", "link through it", "folder"])
def test_in_the_project(machine, ca: Path, pem: str, spelling: str, marked: bool) -> None:
    inside = machine.write(machine.work / "ca.pem", pem, 0o644)
    if marked:
        subprocess.run(["git", "init", "-q", machine.work], check=True)
    path = inside
    if spelling == "..":
        path = machine.work / "sub" / ".." / "ca.pem"
        (machine.work / "sub").mkdir()
    elif spelling == "link to it":
        path = machine.home / "mine.pem"
        path.symlink_to(inside)
    elif spelling == "link through it":
        inside.unlink()
        inside.symlink_to(ca)
    elif spelling == "folder":
        (machine.home / "folder").symlink_to(machine.work)
        path = machine.home / "folder" / "ca.pem"
    named(machine, path)
    error = refused(machine)
    assert f"lies in the project {machine.work}" in error.why
    assert error.rule == "RG501"
    outside = machine.home / "elsewhere"
    outside.mkdir()
    assert machine.load(outside).gateway_ca == str(path)


def test_beside_the_policy_in_a_repository_of_dotfiles(
    machine, ca: Path, pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "account_home", lambda: str(machine.home))
    beside = machine.write(machine.user.parent / "ca.pem", pem, 0o644)
    named(machine, beside)
    subprocess.run(["git", "init", "-q", machine.user.parents[1]], check=True)
    assert machine.load(machine.user.parents[1]).gateway_ca == str(beside)
    beside.unlink()
    beside.symlink_to(ca)
    assert machine.load(machine.home).gateway_ca == str(beside)


def test_the_port_of_the_proxy_is_not_held(machine) -> None:
    machine.write(
        machine.user,
        '[gateway]\nproxy = "http://127.0.0.1:3128"\n[proxies]\nhold = [3128]',
    )
    assert "names the port of gateway.proxy" in refused(machine).why
