"""Health: what an orchestrator may conclude, from facts alone.

Rule: liveness speaks of this process, never of what it depends on. A broker that is away makes every replica not
ready; were they not live either, all would be restarted, and none of that brings the broker back.

    live      the main loop turns, and no fatal error happened         no -> restart
    ready     live, model loaded, pipeline started, nothing retried     no -> wait with the rollout
              for longer than ``unready_after_s``
    started   model loaded, pipeline started                            no -> wait with the other two

Readiness shows a circuit for each stage that fails: open, since when, how often it was tried, and how long it will be
tried before the process gives up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.clock import Clock
from stream_infer.observe import catalogue
from stream_infer.ports import Instrument
from stream_infer.types import ModelIdentity, ScoredBatch, Split


@dataclass(frozen=True, slots=True)
class Check:
    """One condition: its name, whether it holds, and a sentence."""

    name: str
    ok: bool
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of one probe: healthy when every check holds."""

    service: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True when every check holds."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The body of the HTTP answer."""
        checks = [{"check": check.name, "ok": check.ok, "message": check.message} for check in self.checks]
        return {"service": self.service, "status": "ok" if self.ok else "failing", "checks": checks}


@dataclass(frozen=True, slots=True)
class _Outage:
    since: float
    attempt: int
    reason: str


class Health(Instrument):
    """Told by the main thread, asked by HTTP threads.

    No lock: each fact is one reference, and a mapping is replaced, never changed.

    Args:
        name: the service's name.
        clock: tells the age of the last turn of the main loop.
        stall_after_s: seconds without a turn after which the process counts as hung. It must exceed every stage's
            timeout, and stay below ``max.poll.interval.ms`` (300 s by default): 60 is twice the longest default
            timeout.
        unready_after_s: seconds of retrying after which the process is not ready. 10 outlasts a leader election.
        retry_budget_s: seconds of retrying after which the pipeline gives up (``timeouts.retry_seconds``); shown only.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        stall_after_s: float = 60.0,
        unready_after_s: float = 10.0,
        retry_budget_s: float = 900.0,
    ) -> None:
        self.name = name
        self.models: tuple[ModelIdentity, ...] = ()
        self._clock = clock
        self._stall_after_s = stall_after_s
        self._unready_after_s = unready_after_s
        self._retry_budget_s = retry_budget_s
        self._ticked_at: float | None = None
        self._running = False
        self._stopped: str | None = None
        self._fatal: str | None = None
        self._outages: Mapping[str, _Outage] = MappingProxyType({})

    def models_loaded(self, *models: ModelIdentity) -> None:
        """These models are loaded, verified and warm."""
        self.models = models

    def failed(self, reason: str) -> None:
        """The process cannot go on and is about to end."""
        self._fatal = reason

    def started(self, name: str) -> None:
        """The pipeline runs: connected and subscribed."""
        self._ticked_at = self._clock.monotonic()
        self._running = True

    def ticked(self, now: float) -> None:
        """The main loop turned."""
        self._ticked_at = now

    def retry_scheduled(self, stage: str, attempt: int, delay_seconds: float, reason: str) -> None:
        """Remember since when the stage fails, and why."""
        known = self._outages.get(stage)
        since = known.since if known else self._clock.monotonic()
        self._outages = MappingProxyType({**self._outages, stage: _Outage(since, attempt, reason)})

    def retry_succeeded(self, stage: str) -> None:
        """Forget it."""
        self._recovered((stage,))

    def records_polled(self, count: int, nbytes: int) -> None:
        """The source answers."""
        self._recovered(catalogue.POLLING_PROVES)

    def batch_settled(self, batch: ScoredBatch, latency_seconds: npt.NDArray[np.float64]) -> None:
        """The work on a batch succeeds."""
        self._recovered(catalogue.SETTLING_PROVES)

    def checkpoint_committed(self, offsets: Mapping[Split, int], seconds: float) -> None:
        """The sink and the group coordinator answer."""
        self._recovered(catalogue.COMMITTING_PROVES)

    def _recovered(self, stages: Collection[str]) -> None:
        if self._outages:
            left = {stage: outage for stage, outage in self._outages.items() if stage not in stages}
            self._outages = MappingProxyType(left)

    def stopped(self, reason: str) -> None:
        """The pipeline ended."""
        self._running = False
        self._stopped = reason

    def live(self) -> Report:
        """Whether this process is worth keeping."""
        return Report(self.name, (self._fatal_check(), self._loop_check()))

    def ready(self) -> Report:
        """Whether this process does its work."""
        checks = (self._fatal_check(), self._loop_check(), self._model_check(), self._pipeline_check())
        return Report(self.name, (*checks, *self._circuit_checks()))

    def startup(self) -> Report:
        """Whether starting is over."""
        return Report(self.name, (self._model_check(), self._pipeline_check()))

    def _fatal_check(self) -> Check:
        return Check("fatal", self._fatal is None, self._fatal or "no fatal error")

    def _loop_check(self) -> Check:
        if self._ticked_at is None or not self._running:
            return Check("loop", True, "the main loop does not run")
        age_s = self._clock.monotonic() - self._ticked_at
        message = f"the main loop turned {age_s:.1f} s ago (limit {self._stall_after_s:g} s)"
        return Check("loop", age_s <= self._stall_after_s, message)

    def _model_check(self) -> Check:
        names = ", ".join(f"{model.name} {model.version}" for model in self.models)
        return Check("model", bool(self.models), f"loaded: {names}" if names else "no model is loaded yet")

    def _pipeline_check(self) -> Check:
        if self._stopped is not None:
            return Check("pipeline", False, f"stopped: {self._stopped}")
        return Check("pipeline", self._running, "running" if self._running else "starting")

    def _circuit_checks(self) -> tuple[Check, ...]:
        outages = self._outages
        if not outages:
            return (Check("circuit", True, "closed: no stage is failing"),)
        return tuple(self._circuit_check(stage, outage) for stage, outage in outages.items())

    def _circuit_check(self, stage: str, outage: _Outage) -> Check:
        failing_s = self._clock.monotonic() - outage.since
        left_s = max(0.0, self._retry_budget_s - failing_s)
        message = (
            f"open: {stage} has been failing for {failing_s:.1f} s (attempt {outage.attempt}, "
            f"{left_s:.0f} s left before giving up): {outage.reason}"
        )
        return Check(f"circuit.{stage}", failing_s <= self._unready_after_s, message)
