"""What several settings together say about time.

Rule: one place for each such figure, so that a warning and the line itself count alike.
"""

from __future__ import annotations

from stream_infer.config.model import Config

DEFAULT_PRODUCER_LINGER_MS = 5.0
"""What `stream_infer.kafka.properties` sets ``linger.ms`` to."""
ROUND_TRIP_MS = 3.0
"""To the broker, its replicas, and back, where they are near: what is kept for it of ``batching.slo_ms``."""
_LINGER_PROPERTIES = ("linger.ms", "queue.buffering.max.ms")
"""librdkafka has two names for it."""


def publish_ms(config: Config) -> float:
    """Milliseconds from publishing a scored event until it is written: the producer's linger and a round trip.

    Nobody says when one event was written (reports come for failures only), so this is reckoned, not measured.
    """
    client = config.kafka.client
    merged = {**client, **client.get("producer", {})}
    given = [merged[name] for name in _LINGER_PROPERTIES if name in merged]
    try:
        linger_ms = float(str(given[0])) if given else DEFAULT_PRODUCER_LINGER_MS
    except ValueError:  # librdkafka refuses it with a message of its own
        linger_ms = DEFAULT_PRODUCER_LINGER_MS
    return linger_ms + ROUND_TRIP_MS


__all__ = ["DEFAULT_PRODUCER_LINGER_MS", "ROUND_TRIP_MS", "publish_ms"]
