"""Where each key of a TOML file stands: dotted path -> line number.

Rule: only ever run on text that `tomllib` has accepted, so the scanner need not judge, just find its way: it
knows comments, the four kinds of strings, lists, inline tables and headers, and nothing of values.
Paths are written as in messages: ``sink.routes[0].when``.
"""

from __future__ import annotations

import bisect
import re

_BLANK = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
_PLAIN = re.compile(r"[^,\]}\n#]*")
_KEY_PART = re.compile(r'[ \t]*("(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+)[ \t]*(\.?)')


def key_lines(text: str) -> dict[str, int]:
    """The line (from 1) of every table header, key and list item of the TOML ``text``, by dotted path."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[str, int] = {}
        self._items: dict[str, int] = {}  # array of tables -> how many so far

    def scan(self) -> dict[str, int]:
        table = ""
        self._skip_blank()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip_blank()
        return self._lines

    def _skip_blank(self) -> None:
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _note(self, path: str) -> None:
        self._lines.setdefault(path, bisect.bisect_left(self._newlines, self._at) + 1)

    def _header(self) -> str:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        path = self._table_path(self._key(), appends=brackets == 2)
        self._note(path)
        self._at += brackets
        return path

    def _table_path(self, parts: list[str], *, appends: bool) -> str:
        """The path of a header; ``a.b`` below an array of tables ``a`` belongs to its last item."""
        path = ""
        for i, part in enumerate(parts):
            path = _join(path, part)
            self._note(path)
            if appends and i == len(parts) - 1:
                self._items[path] = self._items.get(path, 0) + 1
            if path in self._items:
                path = f"{path}[{self._items[path] - 1}]"
        return path

    def _key(self) -> list[str]:
        parts = []
        more = True
        while more:
            match = _KEY_PART.match(self._text, self._at)
            assert match is not None, "tomllib accepted this text, so a key stands here"
            parts.append(match[1].strip("\"'"))
            more = bool(match[2])
            self._at = match.end()
        return parts

    def _pair(self, table: str) -> None:
        path = table
        for part in self._key():
            path = _join(path, part)
            self._note(path)
        self._at += 1  # the equals sign
        self._value(path)

    def _value(self, path: str) -> None:
        self._skip_blank()
        if self._text[self._at] == "[":
            self._list(path)
        elif self._text[self._at] == "{":
            self._inline_table(path)
        else:
            match = _STRING.match(self._text, self._at) or _PLAIN.match(self._text, self._at)
            self._at = match.end() if match else self._at

    def _list(self, path: str) -> None:
        self._at += 1
        self._skip_blank()
        index = 0
        while self._text[self._at] != "]":
            item = f"{path}[{index}]"
            self._note(item)
            self._value(item)
            self._skip_blank()
            index += 1
        self._at += 1

    def _inline_table(self, path: str) -> None:
        self._at += 1
        self._skip_blank()
        while self._text[self._at] != "}":
            self._pair(path)
            self._skip_blank()
        self._at += 1


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


__all__ = ["key_lines"]
