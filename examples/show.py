"""Show the first events of a topic: key, value, and headers where there are any.

    python examples/show.py machines.scored --max 3

Rule: it reads from the beginning and commits nothing, so it disturbs nobody; it ends at the end of the topic.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition


def read(consumer: Consumer, topic: str, most: int) -> Iterator[Message]:
    """At most ``most`` messages of ``topic``, from the beginning of each partition to its end.

    Raises:
        KafkaException: there is no such topic, or no broker.
    """
    found = consumer.list_topics(topic, timeout=10).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    unread = set(found.partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unread])
    while unread and most > 0:
        message = consumer.poll(10)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        error = message.error()
        if error is None:
            most -= 1
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        else:
            raise KafkaException(error)


def reader(bootstrap_servers: str) -> Consumer:
    """A consumer that joins no group: it is told what to read, and where each partition ends."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"show-{uuid.uuid4().hex[:8]}",  # the client wants a name, though no group is joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,  # a broker that is away is an exception here, and need not be a hundred lines as well
        }
    )


def show(message: Message) -> None:
    """Print one message."""
    key, value = message.key(), message.value()
    print(_text(key), _text(value))
    headers = cast("list[tuple[str, bytes | None]] | None", message.headers())
    for name, content in headers or []:
        print(f"    {name}: {_text(content)}")


def _text(content: str | bytes | None) -> str:
    if content is None:
        return "-"
    return content if isinstance(content, str) else content.decode(errors="backslashreplace")


def main() -> int:
    """Show the topic; 1 where that fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("topic")
    parser.add_argument("--max", type=int, default=10, metavar="N", help="events at most (default 10)")
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092", metavar="HOST:PORT")
    options = parser.parse_args()
    try:
        with closing(reader(options.bootstrap_servers)) as consumer:
            for message in read(consumer, options.topic, options.max):
                show(message)
    except KafkaException as error:
        print(f"{options.topic} cannot be read: {error.args[0].str()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
