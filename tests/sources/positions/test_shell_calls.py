"""What a shell text starts and sets, seen through wrappers, quotes and here-documents."""

from __future__ import annotations

import pytest

from guard.catalog.runners import package_name
from guard.sources.positions.shell_calls import read, read_fish
from guard.sources.positions.text import Text


def started(text: str, program: str = "opencode") -> list[list[str]]:
    """The words of every call of `program`."""
    return [[w.shown for w in c.words] for c in read(Text.of(text)).calls if c.program == program]


@pytest.mark.parametrize(
    "text",
    [
        "# opencode run",
        'echo "opencode run"',
        "printf '%s' 'opencode run'",
        "opencoder run",
        "my-opencode run",
        "x=opencode",
        "cat <<E\nopencode run\nE",
        "cat <<'E'\nopencode $(opencode run)\nE",
        "tee f <<<'opencode run'",
        "which opencode",
        "command -v opencode",
        "npm install -g opencode-ai",
        "grep opencode file",
        "case opencode in opencode) true;; esac",
        "arr=(opencode run)",
        "opencode() { true; }",
        "function 'opencode' {\n  true\n}",
        "[[ $x == opencode ]]",
        "for x in opencode; do true; done",
        "bash script.sh opencode run",
        "bash -n script.sh <<< 'opencode run'",
        "docker pull opencode",
        "alias opencode-help='echo opencode run'",
        "command -pv opencode; command -p -V opencode",
        "fish -c 'command -q opencode; builtin -q opencode; command --search opencode'",
        "screen -r opencode; screen -dr opencode; screen -D -RR opencode; screen -x opencode",
        "abduco -a opencode; dtach -a /tmp/opencode",
        "sudo -l opencode; sudo -nl opencode; sudo --edit /bin/opencode",
        "start-stop-daemon --stop --exec /bin/opencode",
        "npm test -- src/opencode; npm install -- opencode; yarn test -- opencode",
        "uv run pytest -- tests/opencode; conda run -n x pytest -- opencode",
        "hatch test -- opencode",
        "mise run test -- tests/opencode",
        "xterm -name opencode -e ls; fakeroot -s opencode ls; foot -c opencode ls",
        "uv run --upgrade-package opencode pytest; uv run --cache-dir /x/opencode pytest",
        "watchexec --workdir /x/opencode ls; parallel --wd /x/opencode ls ::: a",
        "ltrace -o opencode ls; strace --output opencode ls; perf record -o opencode ls",
        "rlwrap -H opencode ls; proxychains4 -f opencode ls; hyperfine -n opencode ls",
        "uv run --only-group opencode pytest; pixi run -e opencode ls; honcho run -e opencode ls",
        "unshare --wd /x/opencode ls; systemd-run --working-directory /x/opencode ls",
    ],
)
def test_what_is_no_call(text: str) -> None:
    assert started(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "opencode run",
        "A=1 opencode run",
        "env A=1 opencode run",
        "env -u B -i A=1 opencode run",
        "sudo -E -u ci opencode run",
        "time opencode run",
        "nohup opencode run &",
        "! opencode run",
        "nice -n 5 opencode run",
        "timeout -k 5 60 opencode run",
        "stdbuf -oL opencode run",
        "exec opencode run",
        "command opencode run",
        "xargs -n 1 -I{} opencode run",
        "find . -exec opencode run \\;",
        "/usr/local/bin/opencode run",
        '"$HOME/.opencode/bin/opencode" run',
        "'opencode' run",
        "open\\code run",
        "opencode \\\n  run",
        "bash -c 'opencode run'",
        'sh -lc "opencode run"',
        "bash -euo pipefail -c 'opencode run'",
        "yash -c 'opencode run'",
        "bash -c \"bash -c 'opencode run'\"",
        "eval 'opencode run'",
        "eval opencode run",
        "trap 'opencode run' EXIT",
        "alias oc='opencode run'",
        "ssh -p 22 host opencode run",
        "ssh host 'opencode run'",
        "su -c 'opencode run' me",
        "tmux new -d 'opencode run'",
        "x=$(opencode run)",
        "x=`opencode run`",
        'echo "$(opencode run)"',
        "diff <(opencode run) b",
        "cat <<E\n$(opencode run)\nE",
        "f() { opencode run; }",
        "function f { opencode run; }",
        "if opencode run; then true; fi",
        "while true; do opencode run; done",
        "case x in *) opencode run;; esac",
        "(cd x && opencode run)",
        "a | opencode run | b",
        "a || opencode run",
        "bash <<E\nopencode run\nE",
        "sudo bash -s <<'E'\nopencode run\nE",
        "cat <<E | bash\nopencode run\nE",
        "bash <<< 'opencode run'",
        "echo 'opencode run' | sh",
        "op run --env-file=.env -- opencode run",
        "dotenv -e .env -- opencode run",
        "direnv exec . true; mise exec node@22 -- opencode run",
        "docker run --rm -v a:b -it image opencode run",
        "docker run --entrypoint opencode image run",
        "docker run --entrypoint=/usr/bin/opencode --rm image run",
        "docker run --entrypoint sh image -c 'opencode run'",
        "docker run --entrypoint '' image opencode run",
        "docker compose -f x.yml exec -T app opencode run",
        "cross-env A=1 opencode run",
        "concurrently -k 'vite' 'opencode run'",
        "npx opencode run",
        "npx -y --package opencode-ai opencode run",
        "npx -c 'opencode run'",
        "uv run --frozen opencode run",
        "uv run --not-known x -- opencode run",
        "screen -dmS x opencode run",
        "command -p opencode run",
        "sudo -ulev opencode run",
        "ltrace -o x opencode run",
        "proxychains4 -q -f x.conf opencode run",
        "perf record -F 99 -o x -- opencode run",
        "mise exec run -- opencode run",
        "systemd-run --user -t opencode run",
        "setarch x86_64 opencode run",
        "gstdbuf -oL fakeroot torify opencode run",
        "setpriv --pdeathsig KILL opencode run",
        "runuser -u me opencode run",
        "xterm -geometry 80x24 -e opencode run",
        "asciinema rec -c 'opencode run'",
        "tmux run-shell 'opencode run'",
        "volta run --node 20 opencode run",
        "A=1 B=2\nopencode run",
    ],
)
def test_what_is_a_call(text: str) -> None:
    assert started(text) == [[started(text)[0][0], "run"]]


@pytest.mark.parametrize(
    "text", ["npx opencode-ai@latest run", "bunx opencode-ai run", "pnpm dlx opencode-ai run"]
)
def test_packages(text: str) -> None:
    call = next(c for c in read(Text.of(text)).calls if c.package)
    assert package_name(call.words[0].shown) == "opencode-ai"
    assert [w.shown for w in call.words[1:]] == ["run"]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("a", "a"),
        ("a@1.2", "a"),
        ("@a/b@latest", "@a/b"),
        ("@a/b", "@a/b"),
        ("litellm[proxy]==1", "litellm"),
    ],
)
def test_package_names(spec: str, name: str) -> None:
    assert package_name(spec) == name


def test_words_have_values_and_places() -> None:
    text = 'echo é; A=1 opencode run -m "a/$M" \'b c\' d\\ e $F "$@"'
    call = next(c for c in read(Text.of(text)).calls if c.program == "opencode")
    assert [w.value for w in call.words] == [
        "opencode",
        "run",
        "-m",
        None,
        "b c",
        "d e",
        None,
        None,
    ]
    assert [w.splits for w in call.words[3:]] == [False, False, False, True, True]
    assert [text[w.start : w.end] for w in call.words[3:6]] == ['"a/$M"', "'b c'", "d\\ e"]
    assert [(a.name, a.value.value) for a in call.environment] == [("A", "1")]


def test_places_go_through_every_layer() -> None:
    text = 'x;\nsudo bash -c "cd a && bash -c \'opencode \\"r\\"\'"'
    call = next(c for c in read(Text.of(text)).calls if c.program == "opencode")
    assert text[call.words[0].start : call.words[0].end] == "opencode"
    assert call.words[1].value == "r"


def test_settings() -> None:
    found = read(
        Text.of(
            "A=1\nexport B=2 C\nC=$X\ndeclare -x D=4\nlocal E=5\nexport -n F=6\n"
            "docker run -e G=7 --env H i\nbuiltin export I=9\nlaunchctl setenv J 10\n"
        )
    )
    assert {(s.name, s.exported, s.handed) for s in found.settings} == {
        ("A", False, False),
        ("B", True, False),
        ("C", True, False),
        ("D", True, False),
        ("E", False, False),
        ("G", True, True),
        ("H", True, True),
        ("I", True, False),
        ("J", True, False),
    }
    (fish,) = read_fish(Text.of("set -gx A b c; set -e B; A=1")).settings
    assert (fish.name, fish.value and fish.value.shown, fish.exported) == ("A", "b c", True)
    assert read(Text.of("set -a\nA=1\nset +a\n")).settings[0].exported


def test_constants_are_variables_with_one_known_value() -> None:
    found = read(Text.of('A=x\nB=1\nB=2\nC=$A\nread D\nD=1\nf "$A/y" "$B" "$C" "$D"\n'))
    words = found.calls[-1].words[1:]
    assert [found.value(word) for word in words] == ["x/y", None, None, None]
