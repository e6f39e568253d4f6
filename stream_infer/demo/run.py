"""Puts a demo together, lets it run, and says how it went.

Rule: the pipeline is composed by `stream_infer.app` from a config, as for ``stream-infer run``. What is made
here is what surrounds it, and all of it is gone at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from stream_infer.app.service import Service, Signals
from stream_infer.clock import SystemClock
from stream_infer.config.options import DemoOptions, RunOptions
from stream_infer.demo.conductor import Conductor
from stream_infer.demo.feed import Feed
from stream_infer.demo.figures import Figures
from stream_infer.demo.screen import LineScreen, Screen, TableScreen
from stream_infer.demo.setting import BUNDLE, CLIENT, FRAMING, INPUT_TOPIC, TOPICS, demo_config
from stream_infer.demo.summary import QUANTILES, Summary, summarize, summary_lines
from stream_infer.errors import UsageError
from stream_infer.kafka.mock import MockCluster
from stream_infer.kafka.producer import EventProducer
from stream_infer.observe.logs import configure_logging
from stream_infer.testing.payments import PaymentStream

DEFAULT_RATE = 1_000.0
"""Payments a second: the default number of events takes some twenty seconds, and any laptop keeps up."""


def score_payments(options: DemoOptions) -> int:
    """Run a demo from start to end. Returns the exit code: 1 when a payment was lost.

    Raises:
        UsageError: an option cannot be used.
        StreamInferError: the demo could not run.
    """
    with tempfile.TemporaryDirectory(prefix="stream-infer-demo-") as folder, MockCluster(TOPICS) as cluster:
        return _score(options, cluster.bootstrap_servers, Path(folder))


def _score(options: DemoOptions, bootstrap_servers: str, folder: Path) -> int:
    try:
        config = demo_config(options, bootstrap_servers, folder)
    except ValidationError as error:
        raise UsageError("--http must be HOST:PORT, such as 127.0.0.1:9464") from error
    clock = SystemClock()
    figures = Figures(options.events)
    feed = _feed(options, bootstrap_servers, figures, clock)
    screen = _screen(options)
    conductor = Conductor(feed, figures, screen, options.events)
    configure_logging(config.observe.log_format, config.observe.log_level)
    feed.start()
    try:
        with Signals() as signals, Service(config, RunOptions(), watchers=(figures, conductor)) as service, screen:
            service.start_up()
            signals.drain_from_now()
            service.run(lambda: signals() or conductor.stopping())
            interrupted = signals() and not conductor.stopping()
            conductor.finish(clock.monotonic())
    finally:
        feed.stop()
    summary = _summary(feed, figures, interrupted=interrupted)
    _say(options, summary)
    if feed.error is not None:
        raise feed.error
    return 1 if summary.failure else 0


def _feed(options: DemoOptions, bootstrap_servers: str, figures: Figures, clock: SystemClock) -> Feed:
    return Feed(
        EventProducer(bootstrap_servers, INPUT_TOPIC, client=CLIENT, client_id="stream-infer-demo-feed"),
        PaymentStream(options.seed),
        events=options.events,
        rate=options.rate or DEFAULT_RATE,
        prefix=FRAMING,
        start_when=figures.assigned,
        settled=lambda: figures.settled,
        clock=clock,
    )


def _screen(options: DemoOptions) -> Screen:
    console = Console(highlight=False)
    if options.format == "json":
        return LineScreen(sys.stdout, "json")
    # One line of 80 characters on a usual terminal.
    title = (
        f"stream-infer demo: {options.events:,} made-up payments at {options.rate or DEFAULT_RATE:,.0f}/s "
        "through a Kafka in memory"
    )
    if options.http:
        title += f"\nmetrics: http://{options.http}/metrics"
    if console.is_terminal:
        return TableScreen(console, title)
    print(title, flush=True)
    return LineScreen(sys.stdout, "text")


def _summary(feed: Feed, figures: Figures, *, interrupted: bool) -> Summary:
    return summarize(
        model=figures.model,
        seconds=figures.seconds_since(feed.began_at),
        produced=feed.produced,
        settled=figures.settled,
        rejected=figures.totals.rejected,
        scored=figures.scored,
        flagged=figures.flagged,
        is_fraud=feed.is_fraud,
        latency_seconds=figures.latency_quantiles(QUANTILES),
        interrupted=interrupted,
    )


def _say(options: DemoOptions, summary: Summary) -> None:
    lines = [json.dumps(summary.to_json())] if options.format == "json" else summary_lines(summary, _next_steps())
    print(*lines, sep="\n", flush=True)


def _next_steps() -> list[tuple[str, str]]:
    """Commands that work where this demo was started, and what they do."""
    installed = Path(sys.executable).with_name("stream-infer")
    program = "stream-infer" if shutil.which("stream-infer") else os.path.relpath(installed)
    return [
        (f"{program} demo --rate 20000 --events 400000", "the same, faster"),
        (f"{program} demo --http 127.0.0.1:9464", "with /metrics, /livez and /readyz"),
        (f"{program} demo --write payments/", "these payments as files, with labels"),
        (f"{program} bundle inspect {os.path.relpath(BUNDLE)}", "what the model expects and answers"),
        (f"{program} export --help", "a bundle of your own model"),
        (f"{program} run --help", "your own topic; the README has a tutorial"),
    ]
