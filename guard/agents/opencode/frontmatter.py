"""The head of opencode's Markdown files: agents, commands, modes, skills.

opencode 1.18.33 splits them with the npm package gray-matter and its default engines: after the
opening `---` a language may follow, and the head of a file that begins with `---js` or
`---javascript` is run as code in the agent's process (run: a file in `.opencode/agent` of a project
wrote to the disk). Both of its config loaders do so.

Of YAML only what has one meaning is read here: plain keys with scalars, lists and maps of them.
Anchors, tags, merge keys and the like are refused, so that no two readers differ.

Hot-path module. Pure.
"""

from __future__ import annotations

from guard.files import quick_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LANGUAGES = ("", "yaml", "yml", "json")
"""What may follow the opening `---`. opencode's reader has `js` and `javascript` besides."""

MAX_HEAD = 64 * 1024
"""Characters of a head. People write a dozen lines; the text for the model is the body."""

_MOST_DEPTH = 12
_SPECIAL = "!&*?|>@`%{}[],#\"'"
"""Characters with which no plain scalar begins in what is read here."""


class FrontMatterError(Exception):
    """A head with no one meaning; the text says what is wrong, without the content."""


def split(text: str) -> tuple[str, str, str]:
    """(language, head, body) of a file, as gray-matter splits it; the head is "" if there is none.

    The language is in lower case, "" where none is written.
    """
    text = text.removeprefix("\ufeff")
    if not text.startswith("---") or text[3:4] == "-":
        return "", "", text
    rest = text[3:]
    line, found, _ = rest.partition("\n")
    if not found:
        return line.strip().lower(), "", ""
    rest = rest[len(line.removesuffix("\r")) :]
    head, ended, body = rest.partition("\n---")
    if ended and body[:1] == "\r":
        body = body[1:]
    return line.strip().lower(), head, body.removeprefix("\n")


def foreign_language(text: str) -> str:
    """The language of the head of `text` if it is no data but, or may be, a program; else ""."""
    language = split(text)[0]
    return "" if language in _LANGUAGES else language


def read(text: str) -> tuple[dict[str, Any], str]:
    """The data and the body of a Markdown file. Raises FrontMatterError."""
    language, head, body = split(text)
    if language not in _LANGUAGES:
        raise FrontMatterError("its front matter is written in a language that opencode runs")
    if len(head) > MAX_HEAD:
        raise FrontMatterError(f"its front matter is longer than {MAX_HEAD // 1024} KiB")
    lines = head.split("\n")
    if not any(line.strip() and not line.lstrip().startswith("#") for line in lines):
        return {}, body.strip()
    if language == "json":
        return _json(head), body.strip()
    try:
        found = _Reader(lines).document()
    except _LooseColonError:
        # opencode reads the head once more, with every value that holds a colon as a text
        found = _Reader(_with_texts(lines)).document()
    return found, body.strip()


def render(fields: dict[str, Any], body: str) -> str:
    """A Markdown file that opencode reads as `fields` and `body`, whatever they hold."""
    return f"---json\n{quick_json.dumps(fields)}\n---\n{body}\n"


def _json(head: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise FrontMatterError("names a key twice")
        for key in found:
            _refuse_prototype(key)
        return found

    def no_constant(name: str) -> None:
        raise FrontMatterError(f"its front matter holds {name}, which is not JSON")

    try:
        found = quick_json.loads(head, unique, no_constant)
    except (ValueError, RecursionError):
        raise FrontMatterError("its front matter is not valid JSON") from None
    if not isinstance(found, dict):
        raise FrontMatterError("its front matter is not an object")
    return found


def _refuse_prototype(key: str) -> None:
    # in JavaScript no key of its own: two readers would make two things of it
    if key == "__proto__":
        raise FrontMatterError("holds the key __proto__")


class _LooseColonError(FrontMatterError):
    """A plain value at the top that holds `: `, which is no YAML."""


def _with_texts(lines: list[str]) -> list[str]:
    """As opencode repairs a head (`sanitize` in the source of 1.18.33)."""
    out = []
    for line in lines:
        key, colon, value = line.partition(":")
        value = value.strip()
        name = key.rstrip()
        plain = (
            colon
            and name.isascii()
            and name.replace("_", "a").isalnum()
            and not name[:1].isdigit()
            and not line[:1].isspace()
        )
        if not plain or value in ("", ">", "|") or value[0] in "\"'" or ":" not in value:
            out.append(line)
        else:
            out += [f"{name}: |-", f"  {value}"]
    return out


class _Reader:
    """A block of YAML, line by line."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = [line.removesuffix("\r") for line in lines]
        self._at = 0

    def document(self) -> dict[str, Any]:
        for line in self._lines:
            if (
                "\t" in line[: len(line) - len(line.lstrip())]
                or not line.replace("\t", "").isprintable()
            ):
                raise FrontMatterError(
                    "its front matter holds a control character or is indented by tabs"
                )
        found = self._map(0, 0)
        if self._next() is not None:
            raise FrontMatterError("its front matter is not indented as YAML")
        return found

    def _next(self) -> tuple[int, str] | None:
        """Indentation and text of the next line with content."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            text = line.lstrip(" ")
            if text and not text.startswith("#"):
                return len(line) - len(text), text.rstrip()
            self._at += 1
        return None

    def _map(self, indent: int, depth: int) -> dict[str, Any]:
        if depth > _MOST_DEPTH:
            raise FrontMatterError("its front matter is nested too deeply")
        found: dict[str, Any] = {}
        while True:
            line = self._next()
            if line is None or line[0] < indent:
                return found
            if line[0] > indent:
                raise FrontMatterError("its front matter is not indented as YAML")
            key, rest = _key(line[1])
            _refuse_prototype(key)
            if key in found:
                raise FrontMatterError("names a key twice")
            self._at += 1
            found[key] = self._value(rest, indent, depth)

    def _value(self, rest: str, indent: int, depth: int) -> Any:
        if rest[:1] in ("|", ">"):
            return self._block(rest, indent)
        rest = _without_comment(rest)
        if not rest:
            below = self._next()
            if (
                below is not None
                and below[1].startswith(("- ", "-"))
                and below[1][1:2] in ("", " ")
            ):
                if below[0] >= indent:
                    return self._list(below[0])
            elif below is not None and below[0] > indent:
                return self._map(below[0], depth + 1)
            return None
        parts = [rest]
        while self._at < len(self._lines):
            # a plain value goes on in lines that are indented
            line = self._lines[self._at]
            if line.strip(" ") and len(line) - len(line.lstrip(" ")) <= indent:
                break
            parts.append(line.strip(" "))
            self._at += 1
        while not parts[-1]:
            del parts[-1]
        if len(parts) > 1 and (any("#" in part for part in parts) or rest[0] in _SPECIAL):
            raise FrontMatterError("its front matter holds a value of several lines")
        return _scalar(_folded(parts), top=indent == 0)

    def _list(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while True:
            line = self._next()
            if line is None or line[0] < indent or not line[1].startswith("-"):
                return found
            if line[0] > indent or line[1][1:2] not in ("", " "):
                raise FrontMatterError("its front matter holds a list that is not indented as YAML")
            found.append(_scalar(_without_comment(line[1][1:].strip()), top=False))
            self._at += 1

    def _block(self, head: str, indent: int) -> str:
        head = _without_comment(head)
        if head not in ("|", ">", "|-", ">-"):
            raise FrontMatterError("its front matter holds a string with an indentation of its own")
        lines: list[str] = []
        width = 0
        while self._at < len(self._lines):
            line = self._lines[self._at]
            inner = len(line) - len(line.lstrip(" "))
            if line.strip(" "):
                if inner <= indent:
                    break
                width = width or inner
                if inner < width:
                    raise FrontMatterError(
                        "its front matter holds a string that is not indented as YAML"
                    )
            lines.append(line[width:] if width else "")
            self._at += 1
        while lines and not lines[-1].strip(" "):
            del lines[-1]
        if lines and not lines[0]:
            raise FrontMatterError("its front matter holds a string that begins with an empty line")
        if head[0] == ">" and any(line.startswith(" ") for line in lines):
            raise FrontMatterError("its front matter holds a folded string with lines of its own")
        text = "\n".join(lines) if head[0] == "|" else _folded(lines)
        return text if head.endswith("-") or not text else text + "\n"


def _folded(lines: list[str]) -> str:
    """Lines of YAML as one: a break is a blank, and an empty line is a break."""
    text, empty = "", 0
    for line in lines:
        if not line:
            empty += 1
            continue
        text += ("\n" * empty or " " if text else "") + line
        empty = 0
    return text


def _key(line: str) -> tuple[str, str]:
    """The key of a line and what follows the colon."""
    if line[:1] in "\"'":
        end = _end_of_quoted(line)
        key, rest = _quoted(line[:end]), line[end:].lstrip()
        if not rest.startswith(":") or rest[1:2] not in ("", " "):
            raise FrontMatterError("its front matter holds a line without a key")
        return key, rest[1:].strip()
    key, colon, rest = line.partition(": ")
    if not colon and line.endswith(":"):
        key, colon = line[:-1], ":"
    if not colon or not key.strip() or key[0] in _SPECIAL + "-<=~." or " #" in key:
        raise FrontMatterError("its front matter holds a line without a plain key")
    return key.rstrip(), rest.strip()


def _without_comment(text: str) -> str:
    if text[:1] in ("'", '"') and text:
        end = _end_of_quoted(text)
        rest = text[end:].strip()
        if rest and not rest.startswith("#"):
            raise FrontMatterError("its front matter holds a value with something after its quotes")
        return text[:end]
    return "" if text.startswith("#") else text.partition(" #")[0].rstrip()


def _end_of_quoted(text: str, start: int = 0) -> int:
    quote, at = text[start], start + 1
    while at < len(text):
        if quote == '"' and text[at] == "\\":
            at += 2
        elif text[at] != quote:
            at += 1
        elif quote == "'" and text[at + 1 : at + 2] == "'":
            at += 2
        else:
            return at + 1
    raise FrontMatterError("its front matter holds a string without its closing quote")


def _quoted(text: str) -> str:
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    try:
        return str(quick_json.loads(text))
    except ValueError:
        raise FrontMatterError(
            "its front matter holds a string with an escape that is not JSON's"
        ) from None


def _scalar(text: str, *, top: bool) -> Any:
    if not text:
        return None
    if text[0] in "\"'":
        if _end_of_quoted(text) != len(text):
            raise FrontMatterError("its front matter holds a value with something after its quotes")
        return _quoted(text)
    if text[0] in "{[":
        found, end = _flow(text, 0, 0)
        if text[end:].strip():
            raise FrontMatterError(
                "its front matter holds a value with something after its bracket"
            )
        return found
    if text[0] in "&!*":
        raise FrontMatterError("its front matter holds YAML beyond plain keys and values")
    if ": " in text or text.endswith(":"):
        if top:
            raise _LooseColonError("its front matter holds a value with a colon, without quotes")
        raise FrontMatterError("its front matter holds a value with a colon, without quotes")
    if text[0] in _SPECIAL or text[:2] in ("- ", "? ") or text in ("-", "?"):
        raise FrontMatterError("its front matter holds YAML beyond plain keys and values")
    return _plain(text)


def _plain(text: str) -> Any:
    """What a plain scalar means in the core of YAML that gray-matter's reader follows."""
    if text in ("~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    digits = text.removeprefix("-").removeprefix("+")
    if digits.isascii() and digits[:1] and digits[0] in "0123456789.":
        whole, point, part = digits.partition(".")
        if (whole or part).isdigit() and (not part or part.isdigit()) and len(digits) < 16:
            if point:
                return float(text)
            if whole == "0" or not whole.startswith("0"):
                return int(text)
        if all(c in "0123456789._:xXoOaAbBcCdDeEfF+-TZ" for c in digits):
            raise FrontMatterError(
                "its front matter holds a number or a date that can mean several things"
            )
    return text


def _flow(text: str, at: int, depth: int) -> tuple[Any, int]:
    """A `{…}` or `[…]` of plain and quoted scalars, on one line, from `at`; and where it ends."""
    if depth > _MOST_DEPTH:
        raise FrontMatterError("its front matter is nested too deeply")
    closer = "}" if text[at] == "{" else "]"
    of_map: dict[str, Any] = {}
    of_list: list[Any] = []
    at = _blanks(text, at + 1)
    while text[at : at + 1] != closer:
        value: Any
        key, at, quoted = _flow_word(text, at, depth)
        at = _blanks(text, at)
        if closer == "}":
            if text[at : at + 1] != ":" or not isinstance(key, str):
                raise FrontMatterError("its front matter holds a map without a value for each key")
            if not quoted and text[at + 1 : at + 2] not in (" ", '"', "'"):
                raise FrontMatterError("its front matter holds a map without a blank after a colon")
            value, at, _ = _flow_word(text, _blanks(text, at + 1), depth)
            _refuse_prototype(key)
            if key in of_map:
                raise FrontMatterError("names a key twice")
            of_map[key] = _plain(value) if isinstance(value, _Bare) else value
        else:
            of_list.append(_plain(key) if isinstance(key, _Bare) else key)
        at = _blanks(text, at)
        if text[at : at + 1] == ",":
            at = _blanks(text, at + 1)
        elif text[at : at + 1] != closer:
            raise FrontMatterError(
                "its front matter holds a bracket that is not closed on its line"
            )
    return (of_map if closer == "}" else of_list), at + 1


class _Bare(str):
    """A word without quotes."""

    __slots__ = ()


def _flow_word(text: str, at: int, depth: int) -> tuple[Any, int, bool]:
    here = text[at : at + 1]
    if here and here in "{[":
        found, end = _flow(text, at, depth + 1)
        return found, end, False
    if here and here in "\"'":
        end = _end_of_quoted(text, at)
        return _quoted(text[at:end]), end, True
    end = at
    while end < len(text) and text[end] not in ",{}[]:#\"'":
        end += 1
    word = text[at:end].strip()
    if not word or word[0] in _SPECIAL + "-?":
        raise FrontMatterError("its front matter holds YAML beyond plain keys and values")
    return _Bare(word), end, False


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] == " ":
        at += 1
    return at
