"""`make proof-docker`: a broker in Docker, started as the tests would start it, takes and gives records."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Consumer, Producer

from integration.brokers import docker_answers, running_kafka
from integration.topics import Topics, unique_name


def test_a_broker_in_docker_serves_a_topic(tmp_path: Path) -> None:
    """Fails where no engine answers: it is asked for only by those who have one."""
    assert docker_answers(), "no Docker engine answers: start one, or set DOCKER_HOST"
    with running_kafka("docker", tmp_path) as kafka:
        assert kafka.kind == "docker"
        topics = Topics(kafka.bootstrap_servers)
        topic = topics.create(partitions=2)
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        producer.produce(topic, b"ping")
        assert producer.flush(30) == 0
        assert first_value(kafka.bootstrap_servers, topic) == b"ping"


def first_value(bootstrap_servers: str, topic: str) -> bytes | None:
    """The first value of a topic; None when there is none after 30 s."""
    group = {"group.id": unique_name("group"), "auto.offset.reset": "earliest"}
    with Consumer({"bootstrap.servers": bootstrap_servers, **group}) as consumer:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        return None if message is None else message.value()
