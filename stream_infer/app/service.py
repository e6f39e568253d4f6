"""A service from start to end: threads, signals, order of start-up and shutdown.

Rule: start-up goes from what cannot heal to what can: properties and model first, then the broker and the registry,
each retried for ``timeouts.startup_seconds``, and the group is joined last, when everything else is ready. Until then
a SIGTERM or SIGINT ends the process at once, since nothing was begun; from then on the first one drains and commits,
and a second one ends the process at once.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Self

from stream_infer.app import assembly, codecs
from stream_infer.app.kernels import not_kept
from stream_infer.clock import Clock, Deadline, SystemClock
from stream_infer.config.model import Config
from stream_infer.config.options import RunOptions
from stream_infer.core.retry import Backoff, Retry
from stream_infer.errors import FatalError, RegistryUnavailable, Stuck
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.observe.health import Health
from stream_infer.observe.http import OpsServer, parse_address
from stream_infer.observe.logs import configure_logging
from stream_infer.observe.narrator import LogInstrument
from stream_infer.observe.prometheus import PrometheusInstrument, new_registry
from stream_infer.observe.watchdog import Watchdog, Watched
from stream_infer.pipeline import Pipeline
from stream_infer.ports import Encoder, Instrument, Instruments, Runtime

_LOGGER = logging.getLogger("stream_infer.app")
EXIT_INCOMPLETE = 1
"""Not everything that was read is committed: nothing is lost, but the next start repeats it."""
_STUCK_GRACE_S = 1.0
"""How long a stage that was asked to stop may take to do so."""


def run(config: Config, options: RunOptions) -> int:
    """Run the service until its end or a signal. Returns the exit code.

    Raises:
        StreamInferError: what ended it, with its exit code.
    """
    configure_logging(config.observe.log_format, config.observe.log_level)
    with Signals() as signals, Service(config, options) as service:
        service.start_up()
        keep_for_good()
        signals.drain_from_now()
        reason = service.run(signals)
    return EXIT_INCOMPLETE if reason == "incomplete" else 0


def keep_for_good() -> None:
    """Take what is loaded by now out of the garbage collector's sight.

    Modules, kernels and the model stay to the end. Going through them takes a tenth of a second, in which every event
    waits, and would happen every now and then.
    """
    gc.collect()
    gc.freeze()


class Signals:
    """SIGTERM and SIGINT as a question: was one received? A second one ends the process.

    Before `drain_from_now` there is nothing to drain, and the first one ends the process as well.
    """

    def __init__(self) -> None:
        self._received = self._draining = False
        self._previous: dict[int, object] = {}

    def __call__(self) -> bool:
        """True once a signal came."""
        return self._received

    def drain_from_now(self) -> None:
        """The line is about to run: whoever asks will drain it."""
        self._draining = True

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._draining:
            # Handlers of our own even so: as the first process of a container the default ones do nothing.
            raise SystemExit(128 + number)
        if self._received:
            os._exit(128 + number)
        self._received = True


class Service:
    """Everything that a running service consists of.

    Args:
        config: what to run.
        options: how long, and whether to publish.
        watchers: further instruments (the demo's table).
        clock: the system's unless a test brings another.
    """

    def __init__(
        self, config: Config, options: RunOptions, watchers: Sequence[Instrument] = (), clock: Clock | None = None
    ) -> None:
        self._config = config
        self._options = options
        self._clock = clock or SystemClock()
        registry = new_registry()
        timeouts = config.timeouts
        self._metrics = PrometheusInstrument(registry, config.name, self._clock)
        stall_after_s = max(timeouts.poll_seconds, timeouts.score_seconds)
        self.health = Health(config.name, self._clock, stall_after_s, retry_budget_s=timeouts.retry_seconds)
        self._loop_watch = LoopWatch(timeouts.poll_seconds)
        self.instrument = Instruments(
            self._metrics, LogInstrument(self._clock), self.health, self._loop_watch, *watchers
        )
        self._runtime: Runtime | None = None
        self._pipeline: Pipeline | None = None
        self._watchdog = Watchdog(self._clock, self.instrument, self._overran, self._stuck, grace_s=_STUCK_GRACE_S)
        self._ops = (
            OpsServer(*parse_address(config.observe.http), registry, self.health) if config.observe.http else None
        )

    def __enter__(self) -> Self:
        if self._ops is not None:
            self._ops.start()
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.stop()
        if self._ops is not None:
            self._ops.stop()

    def start_up(self) -> None:
        """Get everything ready that a run needs; nothing is read yet.

        Raises:
            ConfigError: the config cannot work.
            FatalError: the model, a topic or an authorisation is not there.
            RetriableError: broker or registry did not answer within ``timeouts.startup_seconds``.
        """
        config = self._config
        deadline = Deadline.after(config.timeouts.startup_seconds, self._clock.monotonic())
        admin = assembly.admin(config, self._clock)
        model = assembly.load_model(config)
        self._runtime = model.runtime
        _LOGGER.info("model loaded", extra={"engine": model.runtime.engine, "remark": model.runtime.remark})
        identity = model.bundle.identity(config.decision.threshold)
        self._metrics.use_models([identity])
        self.health.models_loaded(identity)
        self._connect(admin, deadline)
        self._pipeline = assembly.assemble(
            config,
            self._options,
            model=model,
            encoder=self._encoder(model, deadline),
            admin=admin,
            clock=self._clock,
            instrument=self.instrument,
            watch=lambda: self._watchdog.watch("score", config.timeouts.score_seconds),
        )
        if remark := not_kept():
            _LOGGER.warning(remark)

    def run(self, stopping: Callable[[], bool]) -> str:
        """Run the line to its end and close it, after `start_up`. Returns what `Pipeline.run` does."""
        pipeline = self._pipeline
        assert pipeline is not None, "start_up comes first"
        self._loop_watch.begin(self._watchdog)
        try:
            pipeline.start()
            self.instrument.started(self._config.name)
            reason = pipeline.run(stopping)
        except FatalError as error:
            self.health.failed(str(error))
            self.instrument.stopped(type(error).__name__)
            raise
        finally:
            self._loop_watch.end()
            pipeline.close()
        self.instrument.stopped(reason)
        return reason

    def _connect(self, admin: KafkaAdmin, deadline: Deadline) -> None:
        admin.wait_ready(deadline.remaining(self._clock.monotonic()))
        config = self._config
        admin.require_topics(config.source.topics if self._options.dry_run else assembly.all_topics(config))

    def _encoder(self, model: assembly.Model, deadline: Deadline) -> Encoder:
        retry = Retry(Backoff())
        while True:
            try:
                return codecs.encoder(self._config, model.bundle, self.instrument)
            except RegistryUnavailable as error:
                now = self._clock.monotonic()
                if deadline.passed(now):
                    raise
                delay_s = retry.failed(now, jitter=0.0)
                self.instrument.retry_scheduled("registry", retry.attempts, delay_s, str(error))
                self._clock.sleep(min(delay_s, deadline.remaining(now)))

    def _overran(self, stage: str) -> None:
        if stage == "score" and self._runtime is not None:
            self._runtime.stop()

    def _stuck(self, stage: str) -> None:
        """On the watchdog's thread: the stage cannot be stopped from inside, so the process ends."""
        reason = f"{stage} did not end in time and could not be stopped"
        self.health.failed(reason)
        _LOGGER.critical("%s; ending the process, a restart goes on from the last commit", reason)
        logging.shutdown()
        os._exit(Stuck.exit_code)


class LoopWatch(Instrument):
    """Watches the main loop's turns as the stage ``poll``: a turn holds one poll, with its rebalances."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._watchdog: Watchdog | None = None
        self._turn: Watched | None = None

    def begin(self, watchdog: Watchdog) -> None:
        """Watch from the next turn on."""
        self._watchdog = watchdog

    def ticked(self, now: float) -> None:
        """One turn ended, another begins."""
        self._leave()
        if self._watchdog is not None:
            self._turn = self._watchdog.watch("poll", self._timeout_s)
            self._turn.__enter__()

    def end(self) -> None:
        """The loop is over."""
        self._leave()
        self._watchdog = None

    def _leave(self) -> None:
        if self._turn is not None:
            self._turn.__exit__(None, None, None)
            self._turn = None
