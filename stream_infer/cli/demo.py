"""``demo``: the whole thing on one machine, with made-up payments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stream_infer.cli.shared import examples, format_option
from stream_infer.config.options import DemoOptions, OutputFormat

_DEFAULTS = DemoOptions()


@click.command(
    short_help="Watch made-up payments being scored.",
    epilog=examples(
        "stream-infer demo",
        "stream-infer demo --events 100000 --rate 5000 --http 127.0.0.1:9464",
        "stream-infer demo --events 1000000 --write payments/",
    ),
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Payments a second.  [default: 1000]")
@click.option(
    "--events", type=click.IntRange(min=1), default=_DEFAULTS.events, show_default=True, help="Payments in all."
)
@click.option("--http", metavar="HOST:PORT", help="Serve metrics and health there.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=_DEFAULTS.seed, show_default=True, help="Same seed, same payments."
)
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Write the payments and their labels there instead of scoring them.",
)
@format_option
def demo(output_format: OutputFormat, **options: Any) -> int:
    """Watch made-up payments being scored: the real pipeline, no broker needed."""
    from stream_infer.demo import run_demo

    return run_demo(DemoOptions(format=output_format, **options))


__all__ = ["demo"]
