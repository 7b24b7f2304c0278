"""How fish reads a list of commands."""

from __future__ import annotations

from guard.sources.shell_commands.reader import CALL, LIST, NAMES, PLAIN, Frame, Reader

_RESERVED = frozenset(("and", "or", "not", "if", "while", "begin", "else", "end", "!"))


class FishReader(Reader):
    """Reads a text of fish."""

    def _keyword(self, frame: Frame, shown: str) -> bool:
        if shown in ("for", "function", "switch", "case"):
            self._enter(frame, NAMES)
        return shown in _RESERVED or frame.mode != CALL or shown in ("{", "}")

    def _list(self, frame: Frame, char: str) -> None:
        value, at = self._value, self._at
        plain = PLAIN.match(value, at)
        if plain:
            self._take(self._building(frame), plain.end(), bare=True)
        elif char in "\n;":
            self._end_word(frame)
            frame.mode = CALL
            self._end_command(frame)
            self._at += 1
        elif char <= " " or char == "\x7f":
            self._end_word(frame)
            self._at += 1
        elif value.startswith("\\\n", at):
            self._at += 2
        elif char == "'":
            self._escaped(self._building(frame), 1, None)
        elif char == "(":
            self._open(LIST, 1, closer=")", host=self._building(frame))
        elif char == ")":
            self._end_word(frame)
            frame.mode = CALL
            self._end_command(frame)
            if frame.closer:
                self._close(frame)
            else:
                self._at += 1
        elif char == "#" and frame.word is None:
            self._comment()
        elif value.startswith("&>", at):
            self._redirect(frame, 3 if value.startswith("&>>", at) else 2)
        elif char in "&|" or value.startswith(">|", at):
            if char == ">":
                self._drop_descriptor(frame)
            self._end_word(frame)
            frame.mode = CALL
            command = self._end_command(frame)
            two = value[at : at + 2]
            self._at += 2 if two in ("&&", "||", "&|", ">|") else 1
            piped = two in ("&|", ">|") or (char == "|" and two != "||")
            frame.command.source = command if piped and command.words else None
        elif char in "<>":
            end = at + 1
            while end < self._end and end < at + 3 and value[end] in "<>&?":
                end += 1
            self._redirect(frame, end - at, char)
        else:
            self._part(self._building(frame), char)
