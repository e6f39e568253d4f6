"""``bench``: how fast a config scores a sample of the user's events, and what would make it faster."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_infer.cli.shared import (
    config_argument,
    examples,
    load,
    print_json,
    print_table,
    problems_of,
    set_option,
)
from stream_infer.config.options import BenchOptions

if TYPE_CHECKING:
    from stream_infer.app import BenchResult
    from stream_infer.bench import Report
    from stream_infer.bench.advice import Suggestion
    from stream_infer.bench.figures import Latency, Throughput

NOT_MEASURED = "Kafka's client, the network and the broker are not part of these figures"
_DEFAULTS = BenchOptions(Path())
_STAGES = ("decode", "score", "encode", "rest")


def _shares(_context: click.Context, _option: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = ()
    if not rates or not all(0 < rate <= 1 for rate in rates):
        raise click.BadParameter("shares of the throughput, above 0 and up to 1, such as 0.3,0.6,0.9")
    return tuple(sorted(set(rates)))


@click.command(
    short_help="Measure a config on a sample of your events.",
    epilog=examples(
        "stream-infer bench config/fraud.toml --events sample.avro",
        "stream-infer bench config/fraud.toml --events sample.avro --set batching.slo_ms=25 --json",
    ),
)
@config_argument
@set_option
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    required=True,
    help="Sample of the topic's events: .avro, .jsonl or .parquet. It is repeated as often as needed.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=600),
    default=_DEFAULTS.seconds,
    show_default=True,
    help="Length of a trial; there are some ten.",
)
@click.option(
    "--rates",
    callback=_shares,
    default=",".join(f"{rate:g}" for rate in _DEFAULTS.rates),
    show_default=True,
    help="Loads to try, as shares of the throughput.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, and nothing else.")
def bench(config: Path, overrides: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Measure how fast the line of CONFIG scores your events in one process, without Kafka.

    Throughput and what each stage costs, latency under loads that do not wait, the highest load that keeps the latency
    goal (batching.slo_ms, or else 50 ms), what limits, and settings that measured better. Nothing is connected to.
    """
    loaded = load(config, overrides)

    from stream_infer.app import run_bench

    with problems_of(config, overrides):
        result = run_bench(loaded.config, BenchOptions(**options), _progress)
    if as_json:
        print_json({**dataclasses.asdict(result), "not_measured": NOT_MEASURED})
    else:
        _show(result)


def _progress(step: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"measuring: {step} ...", err=True)


def _show(result: BenchResult) -> None:
    report = result.report
    workers = f"{result.workers} workers" if result.workers else "no workers"
    click.echo(f"model       {result.model}, {result.engine}, {workers}, batches of up to {result.max_batch_size}")
    click.echo(f"sample      {_sample(result)}")
    click.echo(f"not here    {NOT_MEASURED}")
    _show_throughput(report.throughput, report.fixed_us_per_batch)
    click.echo()
    print_table([("load", "events/s", "batch", "us/event", "p50 ms", "p95 ms", "p99 ms", "max ms", ""), *_rows(report)])
    click.echo(f"\nknee        {_knee(result)}")
    click.echo(f"limit       {report.limit}")
    _show_suggestions(report.suggestions)


def _sample(result: BenchResult) -> str:
    sample = result.sample
    rejected = sum(sample.rejected.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in sample.rejected.items())
    letters = "dead letter" if rejected == 1 else "dead letters"
    lost = f"{rejected} {letters} ({rejected / sample.events:.2%}: {reasons})" if rejected else f"no {letters}"
    return f"{sample.events} events of {sample.mean_bytes:.0f} bytes in the mean, {lost}"


def _show_throughput(found: Throughput, fixed_us: float | None) -> None:
    costs = ", ".join(f"{stage} {getattr(found, f'{stage}_us_per_event'):.2f}" for stage in _STAGES)
    click.echo(
        f"throughput  {found.events_per_s:,.0f} events/s in batches of {found.events_per_batch:.0f}, "
        f"{found.cores:.2f} cores in use"
    )
    fixed = "" if fixed_us is None else f"; a batch costs {fixed_us:.0f} us before its first event"
    click.echo(f"CPU         {found.cpu_us_per_event:.2f} us per event: {costs}{fixed}")


def _rows(report: Report) -> Iterable[tuple[str, ...]]:
    for rate in report.rates:
        times = (rate.p50_ms, rate.p95_ms, rate.p99_ms, rate.max_ms)
        yield (
            f"{rate.share_of_throughput:.0%}",
            f"{rate.offered_per_s:,.0f}",
            f"{rate.events_per_batch:.1f}",
            f"{rate.cpu_us_per_event:.2f}",
            *(f"{milliseconds:.2f}" for milliseconds in times),
            _verdict(rate),
        )


def _verdict(rate: Latency) -> str:
    if rate.ok:
        return ""
    return "the backlog grows" if rate.backlog_grows else "too late"


def _knee(result: BenchResult) -> str:
    report = result.report
    goal = "no goal set" if result.slo_ms is None else f"batching.slo_ms = {result.slo_ms:g}, less publishing"
    within = f"p99 within {report.goal_ms:g} ms ({goal})"
    if report.knee_per_s is None:
        return f"not reached: no load kept {within}"
    return f"{report.knee_per_s:,.0f} events/s keep {within}"


def _show_suggestions(suggestions: Iterable[Suggestion]) -> None:
    sections = groupby(sorted(suggestions, key=lambda each: each.section), key=lambda each: each.section)
    tables = [
        [f"[{name}]", *(f"{each.key} = {each.value}  # {each.reason}" for each in found)] for name, found in sections
    ]
    if not tables:
        click.echo("settings    nothing that was tried did better than what is configured")
        return
    click.echo("settings    measured to be better, each by itself:\n")
    click.echo("\n\n".join("\n".join(table) for table in tables))


__all__ = ["NOT_MEASURED", "bench"]
