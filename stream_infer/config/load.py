"""From a TOML file to a `Config`, or to every problem of the file at once.

Rule: read, override, fill in secrets, validate, lint; what one step finds is kept and reported with what the
others find, each problem with the line of its key. This is the only place where the environment is read.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stream_infer.config.fields import CLIENT_ROLES, flatten
from stream_infer.config.interpolate import Interpolation
from stream_infer.config.lines import key_lines
from stream_infer.config.lint import find_errors, find_warnings
from stream_infer.config.model import Config
from stream_infer.config.problems import model_problems
from stream_infer.errors import ConfigError, ConfigProblem

_SYNTAX_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)$")
_CLIENT_TABLES = {
    ("kafka", "client"): CLIENT_ROLES,
    ("schema_registry", "client"): (),
}


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that can run, and what is odd about it."""

    config: Config
    warnings: tuple[ConfigProblem, ...]


def load_config(path: str | Path, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration in the file ``path``.

    Args:
        path: A TOML file. Relative paths in it are relative to its folder.
        overrides: ``KEY.PATH=VALUE`` each, as ``--set`` takes them: the value is TOML, or else text.
        environ: The variables of ``${VAR}``.

    Raises:
        ConfigError: with every problem of the file, in file order.
    """
    return read_config(path, overrides, environ).config


def read_config(
    path: str | Path, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> LoadedConfig:
    """As `load_config`, with the warnings of `lint` as well."""
    source = str(path)
    text = _read(source)
    document = _flat_clients(_parse(text, source))
    problems = _override(document, overrides)
    lines = _lines_in_force(text, overrides)
    try:
        loaded = _build(document, Path(path).parent, environ)
    except ConfigError as error:
        raise ConfigError(_in_file_order([*problems, *error.problems], lines), source) from None
    if problems:
        raise ConfigError(_in_file_order(problems, lines), source)
    return replace(loaded, warnings=_in_file_order(loaded.warnings, lines))


def located(error: ConfigError, path: str | Path, overrides: Sequence[str] = ()) -> ConfigError:
    """``error``, found later in a config that was read from ``path``, with the file's name and lines."""
    lines = _lines_in_force(_read(str(path)), overrides)
    return ConfigError(_in_file_order(error.problems, lines), str(path))


def config_from_mapping(
    document: Mapping[str, Any], directory: str | Path = ".", environ: Mapping[str, str] = os.environ
) -> Config:
    """The configuration in a mapping of the file's shape; relative paths are relative to ``directory``.

    Raises:
        ConfigError: with every problem, without lines.
    """
    return _build(document, Path(directory), environ).config


def _build(document: Mapping[str, Any], directory: Path, environ: Mapping[str, str]) -> LoadedConfig:
    interpolation = Interpolation(environ, directory)
    filled = _flat_clients(interpolation.apply(dict(document)))
    try:
        config = Config.model_validate(filled, context={"directory": os.path.abspath(directory)})
    except ValidationError as error:
        unresolved = {problem.path for problem in interpolation.problems}
        refused = [problem for problem in model_problems(error, filled) if problem.path not in unresolved]
        raise ConfigError([*interpolation.problems, *refused]) from None
    problems = interpolation.problems + find_errors(config)
    if problems:
        raise ConfigError(problems)
    return LoadedConfig(config, tuple(find_warnings(config)))


def _read(source: str) -> str:
    try:
        return Path(source).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError([ConfigProblem("file", f"cannot be read: {reason}")], source) from error
    except UnicodeDecodeError as error:
        raise ConfigError([ConfigProblem("file", "is not UTF-8 text")], source) from error


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(str(error), text)], source) from error


def _syntax_problem(message: str, text: str) -> ConfigProblem:
    place = _SYNTAX_LINE.search(message)
    line = int(place[1]) if place else text.count("\n") + 1  # the other form is "(at end of document)"
    return ConfigProblem("TOML syntax", _SYNTAX_LINE.sub("", message), line=line)


def _override(document: dict[str, Any], overrides: Sequence[str]) -> list[ConfigProblem]:
    """Set each override in ``document``; what cannot be set comes back as a problem."""
    problems = []
    for override in overrides:
        parts = _override_path(override)
        if not parts:
            problems.append(ConfigProblem("--set", "must be KEY.PATH=VALUE", "such as batching.linger_ms=5"))
        elif not _assign(document, parts, _override_value(override.partition("=")[2])):
            problems.append(ConfigProblem(".".join(parts), "lies in something that is no table", "given by --set"))
    return problems


def _override_path(override: str) -> tuple[str, ...]:
    """The keys of an override; empty when it is not of the form ``KEY.PATH=VALUE``."""
    key, equals, _ = override.partition("=")
    try:
        nested: Any = tomllib.loads(f"{key} = 0") if equals else {}
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str] = []
    while isinstance(nested, dict) and nested:
        name, nested = next(iter(nested.items()))
        parts.append(name)
    return _client_path(tuple(parts))


def _client_path(parts: tuple[str, ...]) -> tuple[str, ...]:
    """``kafka.client.security.protocol`` names one property: its dots are part of the name."""
    if len(parts) < 3 or parts[:2] not in _CLIENT_TABLES:
        return parts
    tables = _CLIENT_TABLES[parts[0], parts[1]]
    at = 3 if parts[2] in tables else 2
    return (*parts[:at], ".".join(parts[at:])) if parts[at:] else parts


def _override_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _assign(document: dict[str, Any], parts: Sequence[str], value: Any) -> bool:
    table = document
    for part in parts[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return False
        table = inner
    table[parts[-1]] = value
    return True


def _flat_clients(document: dict[str, Any]) -> dict[str, Any]:
    """The tables of client properties by dotted names, so that problems and overrides name them alike."""
    for (section, name), tables in _CLIENT_TABLES.items():
        client = document.get(section, {}).get(name) if isinstance(document.get(section), dict) else None
        if isinstance(client, dict):
            document[section] = {**document[section], name: flatten(client, tables)}
    return document


def _lines_in_force(text: str, overrides: Sequence[str]) -> dict[str, int]:
    """Lines by path; 0 for what an override has set, whose line in the file would mislead."""
    lines = key_lines(text)
    for override in overrides:
        key = ".".join(_override_path(override))
        inside = [path for path in lines if path.startswith((f"{key}.", f"{key}["))]
        lines.update(dict.fromkeys([key, *inside], 0))
    return lines


def _in_file_order(problems: Sequence[ConfigProblem], lines: Mapping[str, int]) -> tuple[ConfigProblem, ...]:
    located = [replace(problem, line=_line_of(problem.path, lines)) for problem in problems]
    return tuple(sorted(located, key=lambda problem: problem.line or 0))


def _line_of(path: str, lines: Mapping[str, int]) -> int | None:
    """The line of ``path``, or of the nearest section around it that the file has."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path) or None


__all__ = ["LoadedConfig", "config_from_mapping", "load_config", "located", "read_config"]
