"""Send a file of JSON lines to a topic, one event a line.

    python examples/send.py examples/machines/readings.jsonl machines.readings --key machine_id

Rule: an event is sent as it stands in the file, even where it is no JSON; the key is one of its fields. Nothing is
lost in silence: the number that the broker acknowledged is printed, and the exit code is 1 where one is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

TIMEOUT_S = 15
"""How long an event may wait for its acknowledgement."""


def key_of(event: bytes, field: str | None) -> bytes | None:
    """The event's ``field`` as a key; None where there is no such field."""
    if field is None:
        return None
    try:
        value = json.loads(event).get(field)
    except (ValueError, AttributeError):
        return None
    return None if value is None else str(value).encode()


def send(events: list[bytes], topic: str, bootstrap_servers: str, key_field: str | None) -> int:
    """Send ``events`` and wait for the broker; returns how many it acknowledged. Each reason for others is printed."""
    outcomes: Counter[str] = Counter()

    def delivered(error: KafkaError | None, _message: Message) -> None:
        outcomes["acknowledged" if error is None else error.str()] += 1

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",  # Java's: a key goes where every other Kafka client would send it
            "delivery.timeout.ms": TIMEOUT_S * 1000,
            "topic.metadata.propagation.max.ms": 5_000,  # after this a topic that is not there is an error
            "log_level": 2,
        }
    )
    for event in events:
        producer.produce(topic, event, key_of(event, key_field), on_delivery=delivered)
        producer.poll(0)
    producer.flush(2 * TIMEOUT_S)
    acknowledged = outcomes.pop("acknowledged", 0)
    for reason, count in outcomes.items():
        print(f"{count} not delivered: {reason}", file=sys.stderr)
    return acknowledged


def main() -> int:
    """Send the file; 0 when every event was acknowledged."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="JSON lines")
    parser.add_argument("topic")
    parser.add_argument("--key", metavar="FIELD", help="field whose value becomes the key")
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092", metavar="HOST:PORT")
    options = parser.parse_args()
    events = options.file.read_bytes().splitlines()
    acknowledged = send(events, options.topic, options.bootstrap_servers, options.key)
    print(f"{acknowledged} of {len(events)} events are in {options.topic}")
    return int(acknowledged < len(events))


if __name__ == "__main__":
    sys.exit(main())
