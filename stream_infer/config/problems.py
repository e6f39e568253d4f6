"""What the model refuses, in plain words: pydantic's errors -> `ConfigProblem`.

Rule: a message says what the value must be, never what it was: it may be a secret. Hints name the nearest valid
key or choice.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from stream_infer.config.outline import Key, children, outline
from stream_infer.errors import ConfigProblem

Location = tuple[str | int, ...]
Message = tuple[str, str]
"""A message and a hint."""


def model_problems(error: ValidationError, document: Mapping[str, Any]) -> list[ConfigProblem]:
    """One problem for each thing the model refuses in ``document``."""
    details = error.errors(include_url=False, include_input=False)
    found: dict[str, ConfigProblem] = {}
    for detail in details:
        location = _own_location(detail["loc"], document)
        problem = _problem(location, detail["type"], detail.get("ctx", {}), _value_at(document, location))
        found.setdefault(problem.path, problem)
    # A list with a bad item is also "too short" for pydantic, which drops the item first.
    return [problem for path, problem in found.items() if not _only_echoes(path, found)]


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that ``word`` most likely means; empty when none is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else ""


def dotted(location: Iterable[str | int]) -> str:
    """A location as messages write it: ``sink.routes[0].when``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _own_location(location: Location, document: Mapping[str, Any]) -> Location:
    """``location`` without pydantic's names for the variants of a union, which the file doesn't have."""
    own: list[str | int] = []
    current: Any = document
    for i, part in enumerate(location):
        if isinstance(current, dict) and (part in current or i == len(location) - 1):
            own.append(part)
            current = current.get(part)
        elif isinstance(current, list) and isinstance(part, int):
            own.append(part)
            current = current[part]
    return tuple(own)


def _value_at(document: Mapping[str, Any], location: Location) -> Any:
    current: Any = document
    for part in location:
        if isinstance(current, dict):
            current = current.get(str(part))
        elif isinstance(current, list) and isinstance(part, int):
            current = current[part]
    return current


def _only_echoes(path: str, found: Mapping[str, ConfigProblem]) -> bool:
    return any(other.startswith(f"{path}[") for other in found)


def _key(location: Location) -> Key | None:
    path = dotted(part if isinstance(part, str) else 0 for part in location).replace("[0]", "[]")
    return outline().get(path) or outline().get(f"{path}[]") or outline().get(path.removesuffix("[]"))


def _problem(location: Location, kind: str, context: Mapping[str, Any], value: Any) -> ConfigProblem:
    if kind.startswith("union_tag"):
        location = (*location, "type")
        value = value.get("type") if isinstance(value, dict) else None
    key = _key(location)
    message, hint = _MESSAGES.get(kind, _wrong_type)(location, key, context, value)
    return ConfigProblem(dotted(location), message, hint)


def _missing(_location: Location, key: Key | None, _context: Mapping[str, Any], _value: Any) -> Message:
    if key and key.choices:
        return "is required", f"one of {_listed(key.choices)}"
    return "is required", f"add {key.kind if key else 'it'}"


def _unknown(location: Location, _key: Key | None, _context: Mapping[str, Any], _value: Any) -> Message:
    name = str(location[-1])
    section = dotted(part if isinstance(part, str) else 0 for part in location[:-1]).replace("[0]", "[]")
    siblings = children(section)
    if name in siblings:
        return "does not go with this type", "leave it out, or change type"
    if close := nearest(name, siblings):
        return "unknown key", f"did you mean {close}?"
    elsewhere = [key.path for key in outline().values() if key.name == name]
    if elsewhere:
        return "unknown key here", f"did you mean {elsewhere[0].removesuffix('[]')}?"
    return "unknown key", f"{f'[{section}]' if section else 'a file'} has {', '.join(siblings)}"


def _choice(_location: Location, key: Key | None, context: Mapping[str, Any], value: Any) -> Message:
    choices = key.choices if key and key.choices else (str(context.get("expected", "")),)
    close = nearest(value, choices) if isinstance(value, str) else ""
    return f"must be {_listed(choices)}", f'did you mean "{close}"?' if close else ""


def _out_of_range(_location: Location, key: Key | None, _context: Mapping[str, Any], _value: Any) -> Message:
    return "is out of range", f"must be {key.range}" if key else ""


def _bad_value(_location: Location, _key: Key | None, context: Mapping[str, Any], _value: Any) -> Message:
    return str(context["error"]), ""


def _empty(_location: Location, _key: Key | None, context: Mapping[str, Any], _value: Any) -> Message:
    return "must not be empty", f"at least {context['min_length']}"


def _bad_pattern(location: Location, _key: Key | None, _context: Mapping[str, Any], _value: Any) -> Message:
    return "is not of the right form", _FORMS.get(dotted(location), "")


def _wrong_type(location: Location, key: Key | None, _context: Mapping[str, Any], value: Any) -> Message:
    wanted = key.kind if key else "of another type"
    if isinstance(location[-1], int):
        wanted = wanted.removeprefix("list of ").removesuffix("s")
    given = "list" if isinstance(value, list) else "table" if isinstance(value, dict) else wanted
    if given != wanted:
        return f"must be {_article(wanted)}", f"not {_article(given)}"
    return f"must be {_article(wanted)}", "write it without quotes" if _is_quoted(value, wanted) else ""


def _not_finite(_location: Location, _key: Key | None, _context: Mapping[str, Any], _value: Any) -> Message:
    return "must be a finite number", ""


def _is_quoted(value: Any, wanted: str) -> bool:
    """True for text that would be right without its quotes."""
    if not isinstance(value, str):
        return False
    if wanted == "true or false":
        return value in ("true", "false")
    return wanted in ("number", "whole number") and value.replace(".", "", 1).lstrip("+-").isdecimal()


def _article(kind: str) -> str:
    return kind if kind in ("text", "true or false", "of another type") else f"a {kind}"


def _listed(choices: Iterable[str]) -> str:
    return " or ".join(f'"{choice}"' for choice in choices)


_NAME = "1 to 200 letters, digits, dots, underscores and hyphens"
_FORMS = {
    "name": _NAME,
    "instance": _NAME,
    "schema_registry.url": "must be a URL with http:// or https://",
}

_MESSAGES: Mapping[str, Callable[[Location, Key | None, Mapping[str, Any], Any], Message]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _choice,
    "union_tag_invalid": _choice,
    "union_tag_not_found": _missing,
    "greater_than": _out_of_range,
    "greater_than_equal": _out_of_range,
    "less_than": _out_of_range,
    "less_than_equal": _out_of_range,
    "finite_number": _not_finite,
    "value_error": _bad_value,
    "too_short": _empty,
    "string_too_short": _empty,
    "string_pattern_mismatch": _bad_pattern,
}

__all__ = ["dotted", "model_problems", "nearest"]
