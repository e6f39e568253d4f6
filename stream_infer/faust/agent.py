"""An agent's whole work: take, score, publish, and only then acknowledge.

Rules:

- An event is acknowledged when what became of it is, and events in the order of their offsets. Faust commits the end of
  what is acknowledged without a gap, but for the first event after the last commit, which it steps over.
- A batch that fails ends the app. Left to itself Faust starts the agent again behind the batch, and the offsets move on
  past events that nobody has scored. So the agent stands still until the app has stopped; the next start reads the
  batch again.
- Scoring runs on a thread of its own, so that a long call holds up neither heartbeats nor other agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stream_infer.clock import SystemClock
from stream_infer.errors import UsageError
from stream_infer.faust.batches import BatchScoring, Format, parser
from stream_infer.faust.deliveries import Deliveries
from stream_infer.faust.intake import Features, Intake, Taken
from stream_infer.faust.parts import Stream, Topic
from stream_infer.scoring import Scorer
from stream_infer.types import ScoredBatch


async def score(
    stream: Stream,
    scorer: Scorer,
    *,
    publish: Topic,
    dead_letters: Topic | None = None,
    features: Features | None = None,
    form: Format | None = None,
    max_batch_size: int = 256,
    linger_ms: float = 5.0,
    on_scored: Callable[[ScoredBatch], None] | None = None,
) -> None:
    """Score a stream until it ends: the body of an agent with concurrency 1.

    Whatever fails (the model as a whole, a delivery, ``features``, ``on_scored``) crashes the app, with the offsets
    where they are. Delivery is at least once: after a crash or a rebalance some events are scored again.

    Args:
        stream: the agent's. Its topic's values and keys must be raw (``value_type=bytes, value_serializer="raw"``, the
            same for keys): Faust acknowledges what it cannot decode, so that nobody ever sees it.
        scorer: the model, of `Scorer.load`.
        publish: where scored events go, with the key and the timestamp of the event.
        dead_letters: where events go that cannot be scored, as they came, with the headers of the service's dead
            letters. None: such an event crashes the app.
        features: called with each event and its fields, in order; what it returns is joined to the fields before
            scoring. The only place to read and change tables in. Called again for an event that is seen again: see
            `WindowHistory`.
        form: how events are read and written; JSON by default.
        max_batch_size: most events of a model call, at least 1.
        linger_ms: longest wait for a batch to fill, from its first event on, in milliseconds.
        on_scored: told of each batch that was published, before it is acknowledged; must be quick.

    Raises:
        UsageError: ``max_batch_size`` or ``linger_ms`` is out of its range.
        ConfigError: ``form`` carries a field that is not in the bundle's input schema.

    Example::

        @app.agent(app.topic("payments", value_type=bytes, value_serializer="raw"))
        async def scoring(stream):
            await score(stream, scorer, publish=scored, dead_letters=dead)
    """
    if max_batch_size < 1 or linger_ms < 0:
        raise UsageError("max_batch_size must be 1 or more, and linger_ms 0 or more")
    form = form or Format()
    scoring = BatchScoring(scorer, form)
    deliveries = Deliveries(publish, dead_letters, stream.app.conf.id, SystemClock())
    unacknowledged = stream.noack()
    intake = Intake(unacknowledged, features, parser(form), max_batch_size, linger_ms / 1000)
    told = on_scored or _nobody
    thread = ThreadPoolExecutor(1, "score")
    intake.start()
    try:
        while batch := await intake.batch():
            await _settle(unacknowledged, batch, scoring, deliveries, thread, told)
    except Exception as error:
        await stream.app.crash(error)
        await asyncio.Event().wait()  # until the app, in stopping, cancels the agent
    finally:
        await intake.close()
        thread.shutdown(wait=False)  # the loop must not wait for a model call


async def _settle(
    stream: Stream,
    batch: list[Taken],
    scoring: BatchScoring,
    deliveries: Deliveries,
    thread: ThreadPoolExecutor,
    told: Callable[[ScoredBatch], None],
) -> None:
    scored = await asyncio.get_running_loop().run_in_executor(thread, scoring, batch)
    await deliveries.publish(scored)
    told(scored)
    for taken in batch:
        await stream.ack(taken.event)


def _nobody(_batch: ScoredBatch) -> None:
    """Hears of it where nobody wants to."""
