"""Secrets come from outside the file: ``${VAR}`` and ``${file:PATH}`` in any text value.

Rule: what is put in is never looked at again (no references inside a secret), and never appears in a message.
``$${`` stands for a plain ``${``. The final line break of a file is left off, because editors add one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_infer.errors import ConfigProblem

_REFERENCE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>[^}]*)\}?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Unresolved(Exception):
    """A reference that leads nowhere: why, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Interpolation:
    """Replaces references in a document; ``problems`` collects those that lead nowhere.

    Args:
        environ: The variables of ``${VAR}``.
        directory: What a relative ``${file:PATH}`` is relative to.
    """

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        self.problems: list[ConfigProblem] = []
        self._environ = environ
        self._directory = directory

    def apply(self, value: Any, path: str = "") -> Any:
        """``value`` with every reference in it replaced; text with a bad reference stays as it is."""
        if isinstance(value, dict):
            return {key: self.apply(item, f"{path}.{key}" if path else key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, f"{path}[{i}]") for i, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) else value

    def _text(self, text: str, path: str) -> str:
        try:
            return _REFERENCE.sub(self._replace, text)
        except _Unresolved as bad:
            self.problems.append(ConfigProblem(path, bad.message, bad.hint))
            return text

    def _replace(self, match: re.Match[str]) -> str:
        if match["escaped"]:
            return match[0][1:]
        if not match[0].endswith("}"):
            raise _Unresolved("a ${ without its }", "write $${ for a plain ${")
        if match["name"].startswith("file:"):
            return self._read(match["name"].removeprefix("file:"))
        return self._variable(match["name"])

    def _variable(self, name: str) -> str:
        if not _VARIABLE.fullmatch(name):
            raise _Unresolved(f"${{{name}}} is no reference", "write ${VARIABLE} or ${file:PATH}")
        if name not in self._environ:
            raise _Unresolved(f"the environment variable {name} is not set", f"set {name} before the start")
        return self._environ[name]

    def _read(self, name: str) -> str:
        try:
            text = (self._directory / name).read_text(encoding="utf-8")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise _Unresolved(f"{name} cannot be read: {reason}", "is the secret mounted?") from error
        except UnicodeDecodeError as error:
            raise _Unresolved(f"{name} is not UTF-8 text", "a secret must be text") from error
        return text.rstrip("\r\n")


__all__ = ["Interpolation"]
