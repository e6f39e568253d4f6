"""What several commands have in common: options, examples in help texts, loading the config, printing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_infer.errors import ConfigError

if TYPE_CHECKING:
    from stream_infer.config.load import LoadedConfig

config_argument = click.argument("config", type=click.Path(path_type=Path))
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY.PATH=VALUE",
    help="Override one setting of the file, such as batching.linger_ms=0. May be repeated.",
)
format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or JSON for programs.",
)


def examples(*lines: str) -> str:
    """The end of a help text; the first line keeps click from joining the others."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def load(path: Path, overrides: Sequence[str]) -> LoadedConfig:
    """The config; its warnings go to stderr."""
    from stream_infer.config.load import read_config

    loaded = read_config(path, overrides)
    for warning in loaded.warnings:
        click.echo(f"warning: {path}: {warning}", err=True)
    return loaded


@contextmanager
def problems_of(path: Path, overrides: Sequence[str]) -> Iterator[None]:
    """Give config problems that are found only later (by the Kafka client, say) the file's name and lines."""
    from stream_infer.config.load import located

    try:
        yield
    except ConfigError as error:
        if error.source:
            raise
        raise located(error, path, overrides) from None


def print_json(value: Any) -> None:
    """Print ``value`` for programs."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equal length in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


__all__ = [
    "config_argument",
    "examples",
    "format_option",
    "load",
    "print_json",
    "print_table",
    "problems_of",
    "set_option",
]
