"""Files of sections with `key = value`, of lines with commands (cron), and Nix: what they start.

One table says which keys of which files hold what; to add a kind of file: a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from guard.late import late
from guard.rules.files.calls import ShellTexts, check_texts
from guard.rules.files.scope import Scope
from guard.rules.files.structured import check_pair, expressions_out
from guard.sources.positions.here_documents import Ends
from guard.sources.positions.text import Text, joined

if TYPE_CHECKING:
    from guard.findings import Finding
    from guard.policy.values import CompiledPolicy
    from guard.sources.file import SourceFile


class Kind(NamedTuple):
    """Files whose path ends in `files`; `texts` and `variables` are regexes for the keys that hold
    commands, one on each line, and variables. A command may have one of `marks` before it."""

    files: str
    where: str
    texts: str
    variables: str = r"(?!)"
    marks: str = ""


KINDS = (
    # tox.wiki, "Configuration"
    Kind(
        r"tox\.ini|setup\.cfg",
        "the environment",
        r"commands(?:_pre|_post)?",
        r"set_?env",
        marks="-!",
    ),
    # supervisord.org/configuration.html, "[program:x]"
    Kind(r"supervisor[^/]*(?:/.*)?\.(?:conf|ini)", "the program", "command", "environment"),
    # the Desktop Entry Specification
    Kind(r"[^/]*\.desktop", "the program", "Exec|TryExec"),
    # git-config(1): an alias with `!` is a command for a shell
    Kind(r"(?:\.gitconfig|\.git/config|[^/]*\.gitconfig)", "git", r"(?!)[^=]*", marks="!"),
    Kind(r"circus\.ini|uwsgi\.ini", "the program", r"cmd|attach-daemon2?|exec-[a-z-]+", "env"),
)

_ENDS = (".ini", ".cfg", ".conf", ".desktop", "config")
"""How the names of all of them end: most files of a tree end in another way."""

_PATTERNS = [(kind, late(rf"(?:.*/)?(?:{kind.files})", re.I | re.S)) for kind in KINDS]
_KEY = late(r"(?P<key>[A-Za-z_][\w.-]*(?:\[[^\]\n]*\])?)[ \t]*[=:][ \t]*")
_PAIR = late(r"[A-Za-z_]\w*[ \t]*=[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*'|[^,\n]*)")
_HOLE = late(r"\{[A-Za-z_][\w:]*(?::[^{}\n]*)?\}")

_CRON_FILE = late(r"(?:.*/)?(?:crontab|[^/]*\.cron(?:tab)?|cron(?:tabs?|\.d)?/[^/.]+)", re.I | re.S)
_FIELD = (
    r"[\d*/,?LW#-]+|[\d,*/-]*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
    r"|sun|mon|tue|wed|thu|fri|sat)[a-z,-]*"
)
_CRON = late(
    rf"[ \t]*-?(?:@(?:reboot|yearly|annually|monthly|weekly|daily|midnight|hourly|every_\w+)"
    rf"|(?:(?:{_FIELD})[ \t]+){{4}}(?:{_FIELD}))[ \t]+",
    re.I,
)
_CRON_USER = late(r"[a-z_][a-z0-9_-]*[ \t]+(?=\S)")
_CRON_SETTING = late(r"[ \t]*[A-Za-z_]\w*[ \t]*=[ \t]*")

_NIX_STRINGS = (
    r"\"(?:[^\"\\]|\\.)*+(?:\"|())",
    r"''(?:[^'$]|'(?!')|''[$'\\]|\$)*+(?:''|())",
    r"/\*(?:[^*]|\*(?!/))*+(?:\*/|())",
)
"""Two kinds of strings, and comments; a group where one does not end."""
_NIX_COMMENT = r"#[^\n]*+"
_NIX_COMMAND = late(
    # nixpkgs: phases and hooks of a derivation, options of services, builders of scripts
    r"(?:\b(?:\w+Hook|\w+Phase|\w*[sS]hellInit|\w*[sS]cript|\w*[cC]ommand|Exec\w+|exec|preStart"
    r"|postStart|preStop|postStop|onStart|onCreate)(?:\.[\w-]+)?[ \t]*=\s*"
    r"|\bwrite(?:Shell|Bash|Dash|Fish|Zsh)?(?:Script|Application)(?:Bin)?\s+\"[^\"]*\"\s*"
    r"|\brunCommand\w*\s+\"[^\"]*\"\s+\{[^{}]*\}\s*"
    r"|\bwriteShellApplication\s*\{[^{}]*\btext\s*=\s*)\Z"
)
_NIX_HOLE = late(r"\$\{[^{}]*\}")
_NIX_BEFORE = 400

_HCL = (".tf", ".tofu", ".hcl", ".nomad")
_HCL_STRING = r"\"(?:[^\"\\\n]|\\.)*+\""
_HCL_LIST = rf"\[(?:[^\"\[\]]|{_HCL_STRING})*+\]"
_HCL_COMMAND = late(
    # provisioners of Terraform and Packer, tasks of Nomad
    rf"\b(?P<key>command|inline|user_data|startup_script)[ \t]*=[ \t]*(?:"
    rf"(?P<value>{_HCL_STRING}|{_HCL_LIST})"
    rf"(?:[^{{}}]{{0,200}}?\bargs[ \t]*=[ \t]*(?P<args>{_HCL_LIST}))?"
    r"|<<[-~]?(?P<tag>\w+)\n)",
    re.S,
)
_HCL_ITEM = late(_HCL_STRING)

# jetbrains.com/help/idea: shared run configurations, and those of the workspace
_RUN = late(r"(?:.*/)?(?:\.idea/(?:runConfigurations/[^/]*|workspace)\.xml|[^/]*\.run\.xml)", re.S)
_ATTRIBUTE = r"\s+value=\"(?P<value>[^\"]*)\""
_RUN_OPTION = late(rf"<option\s+name=\"(?P<name>SCRIPT_(?:TEXT|PATH|OPTIONS))\"{_ATTRIBUTE}")
_RUN_VARIABLE = late(rf"<env\s+name=\"(?P<name>\w+)\"{_ATTRIBUTE}")
_ENTITY = late(r"&(?:(?P<name>quot|apos|amp|lt|gt)|#(?P<code>\d{1,7}));")
_ENTITIES = {"quot": '"', "apos": "'", "amp": "&", "lt": "<", "gt": ">"}


class Lines(ShellTexts):
    """Agent calls, variables and local proxies in the files of the table, cron tables and Nix."""

    name = "lines"

    def wants(self, path: str, name: str) -> bool:
        """The files of the table, cron tables, `*.nix`."""
        return (
            name.lower().endswith((".nix", *_HCL))
            or (path.lower().endswith(".xml") and _RUN.fullmatch(path) is not None)
            or _CRON_FILE.fullmatch(path) is not None
            or _kind(path) is not None
        )

    def check(self, file: SourceFile, policy: CompiledPolicy) -> Iterator[Finding]:
        """Findings in the commands and variables of the file."""
        kind = _kind(file.path)
        if kind is not None:
            yield from _of_sections(Scope(file, policy, kind.where), kind)
        elif file.name.lower().endswith(".nix"):
            texts = list(_of_nix(file.text))
            yield from check_texts(Scope(file, policy, "the shell"), texts)
        elif file.name.lower().endswith(_HCL):
            yield from _of_hcl(Scope(file, policy, "the command"))
        elif file.name.lower().endswith(".xml"):
            yield from _of_run_configuration(Scope(file, policy, "the run configuration"))
        else:
            yield from _of_cron(Scope(file, policy, "the job"))


def _kind(path: str) -> Kind | None:
    if not path.lower().endswith(_ENDS):
        return None
    return next((kind for kind, pattern in _PATTERNS if pattern.fullmatch(path)), None)


def _of_sections(scope: Scope, kind: Kind) -> Iterator[Finding]:
    texts: list[Text] = []
    is_text, is_variable = re.compile(kind.texts), re.compile(kind.variables)
    for key, value in _settings(scope.file.text):
        lines = _continued(value)
        if is_variable.fullmatch(key):
            for line in lines:
                for pair in _PAIR.finditer(line.value):
                    yield from check_pair(scope, _unquoted(line[pair.start() : pair.end()]))
        elif is_text.fullmatch(key) or (kind.marks == "!" and value.value.lstrip(' "')[:1] == "!"):
            for line in lines:
                stripped = line.strip()
                marks = len(stripped.value) - len(stripped.value.lstrip(kind.marks + ' "'))
                texts.append(_filled(stripped[marks if kind.marks else 0 :], _HOLE))
    yield from check_texts(scope.given_to("the command"), texts)


def _settings(text: str) -> Iterator[tuple[str, Text]]:
    """The settings of a file of sections; an indented line goes on with the one before."""
    key = ""
    parts: list[Text] = []
    for line in Text.of(text).lines():
        stripped = line.value.lstrip()
        if stripped[:1] in ("#", ";"):
            continue
        found = _KEY.match(line.value.lstrip("\t ")) if stripped else None
        lead = len(line.value) - len(stripped)
        if key and lead and parts and not (found and _alone(parts)):
            parts.append(line)
            continue
        if key:
            yield key, joined(parts, "\n")
        key, parts = "", []
        if found is not None:
            key, parts = found["key"], [line[lead + found.end() :]]
    if key:
        yield key, joined(parts, "\n")


def _alone(parts: list[Text]) -> bool:
    """Whether a setting has its value on its own line, so that a line below is another one."""
    return len(parts) == 1 and bool(parts[0].value.strip())


def _continued(value: Text) -> list[Text]:
    """The lines of `value`; one that ends in a backslash goes on in the next."""
    found: list[list[Text]] = []
    more = False
    for line in value.lines():
        if not more:
            found.append([])
        more = line.value.endswith("\\")
        found[-1].append(line[:-1] if more else line)
    lines = [joined(parts, " ") for parts in found]
    return [line for line in lines if line.value.strip()]


def _unquoted(pair: Text) -> Text:
    name, _, value = pair.value.partition("=")
    lead = len(name) + 1 + len(value) - len(value.lstrip())
    rest = pair[lead:].strip()
    if rest.value[:1] in "\"'" and rest.value[:1]:
        rest = rest[1 : len(rest) - 1]
    return joined([pair[: len(name.rstrip())], Text("=", pair.places[len(name) :][:2]), rest])


def _filled(text: Text, hole: re.Pattern[str]) -> Text:
    """`text` with what its tool fills in as an expansion of the shell."""
    parts = []
    at = 0
    for found in hole.finditer(text.value):
        shown = Text("${_}", [text.places[found.start()]] * 4 + [text.places[found.end()]])
        parts += [text[at : found.start()], shown]
        at = found.end()
    return joined([*parts, text[at:]]) if parts else text


def _of_cron(scope: Scope) -> Iterator[Finding]:
    """crontab(5): five fields or a name, in a system's table the user, then the command."""
    texts = []
    system = "cron.d/" in scope.file.path or scope.file.path.endswith("etc/crontab")
    for line in Text.of(scope.file.text).lines():
        if line.value.lstrip().startswith("#"):
            continue
        if _CRON_SETTING.match(line.value):
            yield from check_pair(scope, _unquoted(line.strip()))
        elif (found := _CRON.match(line.value)) is not None:
            command = line[found.end() :]
            user = _CRON_USER.match(command.value) if system else None
            texts.append(command[user.end() if user else 0 :])
    yield from check_texts(scope.given_to("the command"), texts)


def _of_nix(text: str) -> Iterator[Text]:
    """The strings of an expression in Nix that a shell runs."""
    for found in _nix_strings(text):
        quotes = 2 if found.group().startswith("''") else 1
        if found.group()[0] in "#/":
            continue
        if _NIX_COMMAND.search(text[max(0, found.start() - _NIX_BEFORE) : found.start()]):
            inner = Text.of(
                text[found.start() + quotes : found.end() - quotes], found.start() + quotes
            )
            yield expressions_out(_filled(inner, _NIX_HOLE))


def _nix_strings(text: str) -> Iterator[re.Match[str]]:
    """The strings and comments in `text`.

    Behind one that does not end is none of its kind that does, so each kind is read to the end of
    the text once.
    """
    kinds, at = list(_NIX_STRINGS), 0
    pattern = _nix_pattern(kinds)
    while found := pattern.search(text, at):
        if found.lastindex:
            del kinds[found.lastindex - 1]
            pattern = _nix_pattern(kinds)
            at = found.start() + 1
        else:
            yield found
            at = found.end()


def _nix_pattern(kinds: list[str]) -> re.Pattern[str]:
    return re.compile("|".join((*kinds, _NIX_COMMENT)), re.S)


def _of_hcl(scope: Scope) -> Iterator[Finding]:
    texts = []
    source = Text.of(scope.file.text)
    ends, at = Ends(source.value), 0
    while found := _HCL_COMMAND.search(source.value, at):
        at = found.end()
        if found["tag"]:
            if end := ends.find(found["tag"], at):
                texts.append(source[at : end[0]])
                at = end[1]
            continue
        items = [source[a + 1 : b - 1] for a, b in _items(found, "value")]
        if found["args"] is not None and len(items) == 1:
            words = [source[a:b] for a, b in _items(found, "args")]
            items = [joined([*items, *words], " ")]
        texts += items
    yield from check_texts(scope, [_filled(text, _NIX_HOLE) for text in texts])


def _items(found: re.Match[str], group: str) -> list[tuple[int, int]]:
    """The places of the strings in what `group` matched, quotes included."""
    start, end = found.span(group)
    return [item.span() for item in _HCL_ITEM.finditer(found.string, start, end)]


def _of_run_configuration(scope: Scope) -> Iterator[Finding]:
    texts = []
    source = Text.of(scope.file.text)
    for found in _RUN_VARIABLE.finditer(source.value):
        name, value = (source[found.start(group) : found.end(group)] for group in ("name", "value"))
        yield from check_pair(scope, joined([name, _plain(value)], "="))
    program: Text | None = None
    for found in _RUN_OPTION.finditer(source.value):
        text = _plain(source[found.start("value") : found.end("value")])
        if found["name"] == "SCRIPT_PATH":
            program = text
        elif found["name"] == "SCRIPT_OPTIONS" and program is not None:
            texts.append(joined([program, text], " "))
            program = None
        elif found["name"] == "SCRIPT_TEXT":
            texts.append(text)
    yield from check_texts(scope.given_to("the command"), [*texts, *([program] if program else [])])


def _plain(text: Text) -> Text:
    """The value of an attribute in XML."""
    parts = []
    at = 0
    for found in _ENTITY.finditer(text.value):
        char = _ENTITIES[found["name"]] if found["name"] else chr(int(found["code"]) % 0x110000)
        end = text.places[found.end()]
        parts += [text[at : found.start()], Text(char, [text.places[found.start()], end])]
        at = found.end()
    return joined([*parts, text[at:]])


DETECTOR = Lines()
