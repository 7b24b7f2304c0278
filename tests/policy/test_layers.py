"""Files that are believed, files that are not, and what their errors say."""

from __future__ import annotations

import os
import stat

import pytest

from guard.errors import PolicyError
from guard.policy import layers, syntax, trusted_file
from guard.policy.layers import Candidate, read_layer
from guard.policy.places import MAX_PROJECT_FILES, project_files
from guard.policy.problems import InvalidPolicyError
from guard.policy.trusted_file import MAX_BYTES

LITERAL_KEY = "pk-live-0123456789abcdefXYZ"


def problems(machine, text: str | bytes, layer: str = "user"):
    """What is wrong with `text` as a layer; at least one thing."""
    path = machine.project if layer == "project" else machine.user
    machine.write(path, text)
    with pytest.raises(InvalidPolicyError) as caught:
        read_layer(Candidate(layer, str(path)))
    assert all(problem.file == str(path) for problem in caught.value.problems)
    return caught.value.problems


def only(machine, text: str | bytes, layer: str = "user"):
    (problem,) = problems(machine, text, layer)
    return problem


class TestTrust:
    @pytest.mark.parametrize("layer", ["system", "user"])
    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664])
    def test_writable_by_others(self, machine, layer, mode):
        path = machine.write(machine.user, "", mode)
        with pytest.raises(PolicyError, match="others can write") as caught:
            read_layer(Candidate(layer, str(path)))
        assert "chmod go-w" in caught.value.fix

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o444])
    def test_readable_by_others_is_fine(self, machine, mode):
        assert read_layer(Candidate("user", str(machine.write(machine.user, "", mode))))

    def test_a_project_is_anybodys(self, machine):
        machine.write(machine.project, "", 0o666)
        if os.geteuid() == 0:
            os.chown(machine.project, 12345, 12345)
        assert read_layer(Candidate("project", str(machine.project)))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    @pytest.mark.parametrize("layer", ["system", "user"])
    def test_foreign_owner(self, machine, layer):
        machine.write(machine.user, "")
        os.chown(machine.user, 12345, 12345)
        with pytest.raises(PolicyError, match="another user") as caught:
            read_layer(Candidate(layer, str(machine.user)))
        assert "12345" in caught.value.why

    def test_foreign_owner_without_being_root(self, machine, monkeypatch):
        machine.write(machine.user, "")
        owner = machine.user.stat().st_uid
        real = os.fstat

        def fstat(fd):
            found = real(fd)
            return os.stat_result((*found[:4], owner + 4711, *found[5:]))

        monkeypatch.setattr(os, "fstat", fstat)
        with pytest.raises(PolicyError, match="another user"):
            read_layer(Candidate("user", str(machine.user)))

    def test_roots_file_is_believed_by_others(self, machine, monkeypatch):
        machine.write(machine.user, "")
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        if machine.user.stat().st_uid == 0:
            assert read_layer(Candidate("system", str(machine.user)))

    def test_judged_after_following_links(self, machine):
        target = machine.write(machine.home / "dotfiles.toml", "", 0o666)
        machine.user.symlink_to(target)
        with pytest.raises(PolicyError, match="others can write"):
            read_layer(Candidate("user", str(machine.user)))
        target.chmod(0o600)
        assert read_layer(Candidate("user", str(machine.user)))

    def test_a_draft_is_not_judged(self, machine):
        path = machine.write(machine.user, "", 0o666)
        assert read_layer(Candidate("user", str(path), judged=False))


class TestFiles:
    @pytest.mark.parametrize("layer", ["system", "user", "project"])
    def test_absent(self, machine, layer):
        assert read_layer(Candidate(layer, str(machine.user))) is None
        assert read_layer(Candidate(layer, str(machine.user / "below"))) is None

    @pytest.mark.parametrize("layer", ["system", "user", "project"])
    def test_fifo_does_not_hang(self, machine, layer):
        os.mkfifo(machine.project, 0o600)
        with pytest.raises(PolicyError, match="not a regular file"):
            read_layer(Candidate(layer, str(machine.project)))

    @pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty", "/", "/proc/self/mem"])
    def test_link_to_something_else(self, machine, target):
        machine.project.symlink_to(target)
        with pytest.raises(PolicyError):
            read_layer(Candidate("project", str(machine.project)))

    @pytest.mark.parametrize("layer", ["system", "user", "project"])
    def test_link_that_leads_nowhere_is_not_absence(self, machine, layer):
        machine.project.symlink_to("nowhere")
        with pytest.raises(PolicyError, match="cannot read"):
            read_layer(Candidate(layer, str(machine.project)))
        assert project_files(str(machine.work)) == (str(machine.project),)
        machine.user.symlink_to("nowhere")
        with pytest.raises(PolicyError, match="cannot read"):
            machine.load()

    def test_link_to_itself(self, machine):
        machine.project.symlink_to(machine.project)
        with pytest.raises(PolicyError, match="cannot read"):
            machine.load()

    def test_unreadable(self, machine, monkeypatch):
        machine.write(machine.user, "")
        real = os.open

        def refuse(path, *args, **kwargs):
            if path == str(machine.user):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(PolicyError, match="cannot read") as caught:
            machine.load()
        assert caught.value.where == str(machine.user)
        assert caught.value.why == "Permission denied"

    @pytest.mark.parametrize("layer", ["system", "user", "project"])
    def test_size_is_bounded(self, machine, layer):
        machine.write(machine.project, b"#" * MAX_BYTES)
        assert read_layer(Candidate(layer, str(machine.project)))
        machine.write(machine.project, b"#" * (MAX_BYTES + 1))
        with pytest.raises(PolicyError, match="too big"):
            read_layer(Candidate(layer, str(machine.project)))

    @pytest.mark.parametrize(
        "text",
        [
            "".join(f"[a{n}]\n" for n in range(100_000)),
            "".join(f"a{n} = 1\n" for n in range(50_000)),
            "[keys]\nextra = [" + "'A'," * 50_000 + "]\n",
            "[keys]\nextra = " + "[" * 50_000 + "]" * 50_000 + "\n",
            "x = " + "{a=" * 20_000 + "1" + "}" * 20_000 + "\n",
            'x = """' + "\n" * 50_000 + '"""\n',
            'x = "' + "\\n" * 50_000 + '"\n',
            "a." * 50_000 + "b = 1\n",
        ],
        ids=["tables", "keys", "items", "lists", "nested", "lines", "escapes", "dots"],
    )
    @pytest.mark.parametrize("name", [".routeguard.toml", "pyproject.toml"])
    def test_a_complex_file_of_a_project_is_not_parsed(self, machine, monkeypatch, name, text):
        work = []
        monkeypatch.setattr(syntax.tomllib, "loads", work.append)
        monkeypatch.setattr(layers, "Locations", work.append)
        path = machine.write(machine.work / name, f"# tool.routeguard\n{text}")
        with pytest.raises(PolicyError, match="too big") as caught:
            machine.load()
        assert caught.value.where == str(path)
        assert work == []

    def test_a_pyproject_of_others_is_not_parsed(self, machine, monkeypatch):
        work = []
        monkeypatch.setattr(syntax.tomllib, "loads", work.append)
        machine.write(machine.work / "pyproject.toml", "[tool.x]\n" * 100_000)
        assert machine.load().layers == ()
        assert work == []

    def test_a_project_does_not_bring_files_without_end(self, machine):
        at = machine.work
        (at / ".git").mkdir()
        for _ in range(MAX_PROJECT_FILES):
            machine.write(at / ".routeguard.toml", "schema = 1")
            at = at / "d"
            at.mkdir()
        assert machine.load(at)
        machine.write(at / ".routeguard.toml", "schema = 1")
        with pytest.raises(PolicyError, match="too many policy files"):
            machine.load(at)

    def test_a_hostile_project_refuses_the_launch_and_nothing_else(self, machine):
        os.mkfifo(machine.project)
        with pytest.raises(PolicyError):
            machine.load()
        assert stat.S_ISFIFO(machine.project.lstat().st_mode)


class TestText:
    def test_not_toml(self, machine):
        problem = only(machine, "schema = 1\n[gateway]\nbase_url = https://x\n")
        assert (problem.line, problem.column) == (3, 12)
        assert problem.message == "not valid TOML: Invalid value"
        assert 'key = "value"' in problem.fix

    @pytest.mark.parametrize(
        ("text", "fix"),
        [
            ('[gateway]\nbase_url: "https://x"\n', 'write key = "value"'),
            ('[gateway]\nbase_url = "https://x\n', "close the quote at the end of the line"),
            ("[gateway\n", "close the name of the table with ]"),
            ("[keys]\nextra = ['A',\n", "close the list with ]"),
            ('[gateway]\nkey = { env = "A",\n}\n', "a table in { } ends on the same line"),
            ("[gateway]\n[gateway]\n", "join the two tables of that name"),
        ],
    )
    def test_a_slip_in_toml_is_met_with_what_mends_it(self, machine, text, fix):
        assert only(machine, text).fix == fix

    def test_a_table_that_is_there_twice(self, machine):
        problem = only(machine, "[gateway.providers.x]\n[gateway.providers.x]\n")
        assert problem.message == "not valid TOML: Cannot declare gateway.providers.x twice"

    @pytest.mark.parametrize(
        ("text", "fix"),
        [
            ('[gateway.providers.portkey]\nmodels = "gpt-4o"\n', 'models = ["gpt-4o"]'),
            ('[gateway]\nkey = { command = "op read x" }\n', 'command = ["op", "read", "x"]'),
            ('[proxies]\nhold = ["11434"]\n', "write 11434 without quotes"),
            (f'[gateway.providers.portkey]\nmodels = "sk-ant-{"a1B2" * 12}"\n', ""),
        ],
    )
    def test_a_string_of_another_type(self, machine, text, fix):
        assert only(machine, text).fix == fix

    def test_end_of_document(self, machine):
        problem = only(machine, 'schema = 1\nuser_exceptions = "acc')
        assert problem.line == 2

    @pytest.mark.parametrize("text", [b"a = 'caf\xe9'", b"\xff\xfes\0c\0", b"# \x80"])
    def test_not_utf8(self, machine, text):
        assert "not UTF-8" in only(machine, text).message

    def test_not_utf8_position(self, machine):
        problem = only(machine, "# ok: é\n  x = '".encode() + b"\xe9'")
        assert (problem.line, problem.column) == (2, 8)

    def test_nul_bytes(self, machine):
        problem = only(machine, "schema = 1\n\0")
        assert problem.line == 2
        assert problem.message.startswith("not valid TOML")

    def test_byte_order_mark_and_carriage_returns(self, machine):
        machine.write(machine.user, b"\xef\xbb\xbfschema = 1\r\n[keys]\r\naction = 'flag'\r\n")
        layer = read_layer(Candidate("user", str(machine.user)))
        assert layer.policy.keys.action == "flag"
        assert layer.find(("keys", "action")).line == 3

    @pytest.mark.parametrize(
        "text",
        [
            "a = " + "[" * 50_000 + "]" * 50_000,
            "a" + ".a" * 200_000 + " = 1",
            "[" + "'a' . " * 100_000 + "a]",
            'x = { "a"' + '."a"' * 50_000 + " = 1 }",
        ],
    )
    def test_nested_too_deeply(self, machine, text):
        assert "nested too deeply" in only(machine, text).message

    def test_depth_of_a_real_key(self, machine):
        machine.write(machine.user, "# " + "a." * 20 + "\n[keys]\naction = 'flag'")
        assert read_layer(Candidate("user", str(machine.user)))

    def test_huge_integer(self, machine):
        assert "not valid TOML" in only(machine, "schema = " + "9" * 5000).message
        assert only(machine, "schema = " + "0x" + "f" * 5000).found == "a huge integer"


class TestMessages:
    def test_unknown_key(self, machine):
        problem = only(machine, "[proxies]\n  acton = 'stop'")
        assert (problem.line, problem.column, problem.key) == (2, 3, "proxies.acton")
        assert problem.message == "unknown key"
        assert problem.fix == "did you mean action?"
        assert problem.accepted == "action, fence, hold, prompt"

    def test_unknown_table(self, machine):
        problem = only(machine, "[gatway]\nbase_url = 'x'")
        assert (problem.line, problem.fix) == (1, "did you mean gateway?")

    def test_key_in_the_wrong_table(self, machine):
        assert only(machine, "base_url = 'x'").fix == "did you mean gateway.base_url?"

    def test_wrong_type(self, machine):
        problem = only(machine, "[keys]\nextra = 'A'")
        assert problem.text == 'keys.extra: wrong type; found "A"; accepted: an array'

    def test_section_of_wrong_type(self, machine):
        problem = only(machine, "gateway = 'https://api.portkey.ai/v1'")
        assert problem.accepted == "a table"

    def test_choice(self, machine):
        problem = only(machine, "[keys]\naction = 'srub'")
        assert problem.found == '"srub"'
        assert problem.accepted == '"flag" or "scrub"'
        assert problem.fix == 'did you mean "scrub"?'

    def test_a_policy_for_a_newer_version(self, machine):
        assert "newer routeguard" in only(machine, "schema = 2").fix
        assert only(machine, "schema = 0").fix == ""

    def test_every_problem_is_named_once_in_order(self, machine):
        found = problems(
            machine, "nope = 1\n[keys]\naction = 1\nunknown = 2\n[[exception]]\nsubject = 'x'"
        )
        assert [(item.line, item.key) for item in found] == [
            (1, "nope"),
            (3, "keys.action"),
            (4, "keys.unknown"),
            (5, "exception[0].reason"),
            (5, "exception[0].until"),
            (6, "exception[0].subject"),
        ]

    def test_exception_without_until_reason_sha256(self, machine):
        found = problems(machine, "[[exception]]\nsubject = 'file:/x'")
        assert [item.key for item in found] == ["exception[0].reason", "exception[0].until"]
        problem = only(
            machine, "[[exception]]\nsubject = 'file:/x'\nreason = 'r'\nuntil = 2026-12-31"
        )
        assert "sha256" in problem.accepted

    def test_quoted_date(self, machine):
        problem = only(
            machine, "[[exception]]\nsubject = 'env:A'\nreason = 'r'\nuntil = '2026-12-31'"
        )
        assert problem.accepted.startswith("a date without quotes, such as 2")

    def test_plain_http(self, machine):
        problem = only(machine, "[gateway]\nbase_url = 'http://gw.example.com/v1'")
        assert problem.found == '"http://gw.example.com/v1"'
        assert "http only for this machine" in problem.accepted

    def test_provider_name(self, machine):
        problem = only(machine, "[gateway.providers.My_One]\nslug = 'x'")
        assert (problem.line, problem.key) == (1, "gateway.providers.My_One")

    def test_rendered(self, machine):
        machine.write(machine.user, "[keys]\naction = 'x'\n[proxies]\naction = 'y'")
        with pytest.raises(PolicyError) as caught:
            machine.load()
        text = caught.value.render()
        assert f"where: {machine.user}" in text
        assert "2:1: keys.action" in text
        assert "4:1: proxies.action" in text
        assert "[RG501]" in text

    def test_problems_of_two_layers(self, machine):
        machine.write(machine.user, "a = 1")
        machine.write(machine.project, "b = 1")
        with pytest.raises(InvalidPolicyError) as caught:
            machine.load()
        assert [item.file for item in caught.value.problems] == [
            str(machine.user),
            str(machine.project),
        ]
        assert f"{machine.project}:1:1: b" in caught.value.render()

    def test_control_characters_do_not_reach_the_terminal(self, machine):
        machine.write(machine.project, '"\\u001b[2J" = 1\n')
        with pytest.raises(InvalidPolicyError) as caught:
            machine.load()
        assert "\x1b" not in caught.value.render()

    def test_a_flood_is_bounded(self, machine):
        found = problems(machine, "".join(f"k{number} = 1\n" for number in range(5000)))
        assert len(found) == 100


class TestSecrets:
    """Whatever is wrong, a value that could be a key is not repeated."""

    @pytest.mark.parametrize(
        "text",
        [
            f"[gateway]\nkey = '{LITERAL_KEY}'",
            f"[gateway]\nkey = {{ env = '{LITERAL_KEY}' }}",
            f"[gateway]\nkey = {{ command = ['echo', '{LITERAL_KEY}'] }}",
            f"[gateway]\nkey = {{ command = '{LITERAL_KEY}' }}",
            f"[gateway]\nbase_url = 'https://x:{LITERAL_KEY}@api.portkey.ai/v1'",
            f"[gateway]\nbase_url = 'https://api.portkey.ai/v1?key={LITERAL_KEY}'",
            f"[gateway]\nproxy = 'http://me:{LITERAL_KEY}@proxy.example.com:8080'",
            f"[gateway]\nproxy = 'me:{LITERAL_KEY}@proxy.example.com:8080'",
            f"[gateway]\nproxy = 'http:/me:{LITERAL_KEY}%40proxy.example.com:8080'",
            f"[gateway]\nproxy = {{ command = ['echo', '{LITERAL_KEY}'] }}",
            f"[gateway]\napi_key = '{LITERAL_KEY}'",
            f"[gateway.providers.portkey]\nslug = '{LITERAL_KEY} x'",
            f"[gateway.providers.portkey]\nkey = '{LITERAL_KEY}'",
            f"[keys]\nextra = ['{LITERAL_KEY}']",
            f"[keys]\naction = '{LITERAL_KEY}'",
            f"[[exception]]\nsubject = 'env:{LITERAL_KEY}'\nreason = 'r'\nuntil = 2026-12-31",
            f"'{LITERAL_KEY}' = 1",
            f"schema = '{LITERAL_KEY}'",
        ],
    )
    def test_never_echoed(self, machine, text):
        machine.write(machine.user, text)
        with pytest.raises(PolicyError) as caught:
            machine.load()
        said = caught.value.render()
        assert LITERAL_KEY not in said
        assert LITERAL_KEY[3:-3] not in said

    @pytest.mark.parametrize("before", ["http://", "", "http:/", "HTTP://", "//", "socks5://"])
    @pytest.mark.parametrize("at", ["@", "%40"])
    def test_a_password_in_a_proxy_is_refused_and_not_repeated(self, machine, before, at):
        url = f"{before}me:hunter2{at}proxy.example.com:8080"
        machine.write(machine.user, f"[gateway]\nproxy = '{url}'")
        with pytest.raises(PolicyError) as caught:
            machine.load()
        assert "hunter2" not in caught.value.render()
        assert not machine.cache.exists()
        if at == "@":
            assert 'proxy = "http://127.0.0.1:3128"' in caught.value.fix

    def test_said_so(self, machine):
        problem = only(machine, f"[gateway]\nkey = '{LITERAL_KEY}'")
        assert problem.found == "what looks like a key (pk****YZ, not shown)"
        assert 'key = { env = "PORTKEY_API_KEY" }' in problem.fix
        assert "rotate it" in problem.fix

    def test_name_of_a_variable_as_a_string(self, machine):
        problem = only(machine, "[gateway]\nkey = 'MY_KEY'")
        assert 'key = { env = "PORTKEY_API_KEY" }' in problem.fix


class TestShared:
    """pyproject.toml belongs to others: it is our business only if it mentions us."""

    @pytest.mark.parametrize(
        "text",
        [
            "[project]\nname = 'x'",
            "",
            "[tool]\nx = 1",
            "tool = 3",
            "[tool.ruff]\nx = 1",
            "this is not TOML",
            b"\xff\xfe",
            "\0",
            "a = " + "[" * 50_000,
            b"#" * (MAX_BYTES + 1),
        ],
    )
    def test_without_our_table(self, machine, text):
        machine.write(machine.pyproject, text)
        assert read_layer(Candidate("project", str(machine.pyproject))) is None
        assert machine.load().layers == ()

    @pytest.mark.parametrize(
        "text",
        [
            "this is not TOML\n[tool.routeguard]",
            b"[tool.routeguard]\n# \xff",
            "[tool.routeguard]\nacton = 1",
            "[tool]\nrouteguard = 1",
            b"[tool.routeguard]\n" + b"#" * MAX_BYTES,
        ],
    )
    def test_with_our_table_fails_closed(self, machine, text):
        machine.write(machine.pyproject, text)
        with pytest.raises(PolicyError):
            machine.load()

    def test_is_read(self, machine):
        machine.write(
            machine.pyproject, "[project]\nname='x'\n\n[tool.routeguard.proxies]\nfence = 'try'"
        )
        layer = read_layer(Candidate("project", str(machine.pyproject)))
        assert layer.policy.proxies.fence == "try"
        assert layer.find(("proxies", "fence")) == (5, 1)
        assert machine.load().proxies_fence == "try"

    def test_position_of_an_error(self, machine):
        machine.write(machine.pyproject, "[project]\n[tool.routeguard.proxies]\naction = 'halt'")
        with pytest.raises(InvalidPolicyError) as caught:
            machine.load()
        assert caught.value.problems[0].where == f"{machine.pyproject}:3:1"

    @pytest.mark.parametrize("target", ["/dev/zero", "nowhere", "/"])
    def test_link_elsewhere_is_ignored(self, machine, target):
        machine.pyproject.symlink_to(target)
        assert machine.load().layers == ()

    def test_fifo_is_ignored(self, machine):
        os.mkfifo(machine.pyproject)
        assert machine.load().layers == ()


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_the_system_policy_is_roots_alone(machine, monkeypatch, mode):
    """Whoever could change it, or put another in its place, decides for every user."""
    path = machine.system
    machine.write(path, "schema = 1\n")
    monkeypatch.setattr(trusted_file, "SYSTEM_POLICY", str(path))
    # the directories of the tests are the user's; what counts is who else could write
    monkeypatch.setattr(trusted_file, "ROOT", (0, os.geteuid()))
    path.chmod(0o644)
    assert read_layer(Candidate("system", str(path))) is not None
    path.chmod(mode)
    with pytest.raises(PolicyError, match="others than root could change the system policy"):
        read_layer(Candidate("system", str(path)))
    path.chmod(0o644)
    path.parent.chmod(0o777)
    with pytest.raises(PolicyError, match="others than root"):
        read_layer(Candidate("system", str(path)))


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
def test_the_system_policy_of_a_user_counts_for_nothing(machine, monkeypatch):
    path = machine.system
    machine.write(path, "schema = 1\n")
    monkeypatch.setattr(trusted_file, "SYSTEM_POLICY", str(path))
    os.chown(path, 12345, 12345)
    with pytest.raises(PolicyError, match="others than root") as caught:
        read_layer(Candidate("system", str(path)))
    assert "user id 12345" in caught.value.why
    assert caught.value.fix.startswith("read it, then:\nsudo chown root ")
