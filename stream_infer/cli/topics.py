"""``topics``: the topics that a config names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from stream_infer.cli.shared import (
    config_argument,
    examples,
    format_option,
    load,
    print_json,
    print_table,
    problems_of,
    set_option,
)
from stream_infer.config.options import OutputFormat, TopicReport


@click.group(short_help="Topics of a config: list, describe, create.")
def topics() -> None:
    """List, describe or create the topics that a config names."""


@topics.command(
    "create",
    epilog=examples("stream-infer topics create config/fraud.toml --partitions 12 --replication-factor 3"),
)
@config_argument
@set_option
@click.option("--partitions", type=click.IntRange(min=1), help="Of each new topic.  [default: as the input, else 4]")
@click.option("--replication-factor", type=click.IntRange(min=1), help="Of each.  [default: the broker's]")
@format_option
def topics_create(
    config: Path,
    overrides: tuple[str, ...],
    partitions: int | None,
    replication_factor: int | None,
    output_format: OutputFormat,
) -> None:
    """Create the topics of CONFIG that don't exist; the others stay as they are."""
    loaded = load(config, overrides)

    from stream_infer.app import topics_create

    with problems_of(config, overrides):
        reports = topics_create(loaded.config, partitions=partitions, replication_factor=replication_factor)
        _show_topics(reports, output_format)


@topics.command("list")
@config_argument
@set_option
@format_option
def topics_list(config: Path, overrides: tuple[str, ...], output_format: OutputFormat) -> None:
    """Show which topics CONFIG names, what for, and whether they exist."""
    loaded = load(config, overrides)

    from stream_infer.app import topics_list

    with problems_of(config, overrides):
        _show_topics(topics_list(loaded.config), output_format)


@topics.command("describe")
@config_argument
@set_option
@format_option
def topics_describe(config: Path, overrides: tuple[str, ...], output_format: OutputFormat) -> None:
    """As list, with the settings of each topic (retention, clean-up, largest message)."""
    loaded = load(config, overrides)

    from stream_infer.app import topics_describe

    with problems_of(config, overrides):
        _show_topics(topics_describe(loaded.config), output_format)


def _show_topics(reports: Iterable[TopicReport], output_format: OutputFormat) -> None:
    rows = [
        {
            "topic": report.topic,
            "role": report.role,
            "exists": report.exists,
            "partitions": report.partitions,
            "replication_factor": report.replication_factor,
            "settings": dict(report.settings),
            "note": report.note,
        }
        for report in reports
    ]
    if output_format == "json":
        print_json(rows)
        return
    heads = ("topic", "role", "exists", "partitions", "replicas", "")
    print_table([heads, *(_topic_cells(row) for row in rows)])


def _topic_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    settings = ", ".join(f"{name}={value}" for name, value in sorted(row["settings"].items()))
    extra = "; ".join(text for text in (row["note"], settings) if text)
    numbers = ("-" if row[name] is None else str(row[name]) for name in ("partitions", "replication_factor"))
    return (row["topic"], row["role"], "yes" if row["exists"] else "no", *numbers, extra)


__all__ = ["topics"]
