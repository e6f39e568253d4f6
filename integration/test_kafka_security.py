"""SASL_SSL on a real broker: the right credentials work, and every wrong one gives one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the client's stubs leave them out
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from integration.certificates import make_server_certificate
from integration.kafka_rig import CLOCK, Member, admin_of, everything, fill, messages_in
from integration.local_kafka import LocalKafka
from integration.mock.rig import scored_batch
from integration.topics import Topics, unique_name
from stream_infer.clock import Deadline
from stream_infer.errors import NotAuthorized, StreamInferError
from stream_infer.kafka.admin import TopicSpec
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.properties import Transaction, consumer_properties, producer_properties
from stream_infer.kafka.publisher import Outputs
from stream_infer.kafka.sink import KafkaSink
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.types import Commit


@dataclass
class Service:
    """Topics and a group of a service, and the client properties of the user it runs as."""

    broker: LocalKafka
    client: dict[str, Any]
    input: str = field(default_factory=lambda: unique_name("input"))
    output: str = field(default_factory=lambda: unique_name("output"))
    dead: str = field(default_factory=lambda: unique_name("dead"))
    group: str = field(default_factory=lambda: unique_name("group"))
    name: str = field(default_factory=lambda: unique_name("name"))
    """The transactional id."""

    @property
    def address(self) -> str:
        return self.broker.secured_servers

    def member(self) -> Member:
        return Member(self.address, self.input, self.group, client=self.client)

    def sink(self) -> KafkaSink:
        return KafkaSink(
            producer_properties(self.address, self.client, client_id="tests", publish_timeout_s=10),
            admin_of(self.address, self.client),
            outputs=Outputs(self.output, self.dead, self.group, max_unacknowledged=100),
            clock=CLOCK,
        )

    def transactional_sink(self) -> TransactionalKafkaSink:
        properties = producer_properties(
            self.address,
            self.client,
            client_id="tests",
            publish_timeout_s=10,
            transaction=Transaction(self.name, 10_000),
        )
        return TransactionalKafkaSink(
            properties,
            admin_of(self.address, self.client),
            outputs=Outputs(self.output, self.dead, self.group),
            stable_name=True,
            commit_timeout_s=10,
            clock=CLOCK,
        )

    def allow(self, kind: ResourceType, name: str, *operations: AclOperation) -> None:
        """Grant alice rights."""
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})
        for operation in operations:
            acl = AclBinding(
                kind, name, ResourcePatternType.LITERAL, "User:alice", "*", operation, AclPermissionType.ALLOW
            )
            for done in admin.create_acls([acl]).values():
                done.result(10)


@pytest.fixture
def service(secured_kafka: LocalKafka) -> Iterator[Service]:
    """A service as alice, who has no right to anything yet."""
    client = secured_kafka.client_properties("alice")
    del client["bootstrap.servers"]
    made = Service(secured_kafka, dict(client))
    specs = [TopicSpec(topic, 2) for topic in (made.input, made.output, made.dead)]
    admin_of(secured_kafka.bootstrap_servers).create_topics(specs)
    fill(secured_kafka.bootstrap_servers, made.input, 20, 2)
    yield made
    Topics(secured_kafka.bootstrap_servers).delete_all()


def refusal(action: Callable[[], object]) -> str:
    """The one sentence of the refusal that ``action`` meets within a few seconds."""
    began = CLOCK.monotonic()
    with pytest.raises(NotAuthorized) as caught:
        action()
    assert CLOCK.monotonic() - began < 10
    assert caught.value.exit_code == 1
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "password" not in sentence.replace("sasl.password", "")
    return sentence


def poll_on(member: Member) -> None:
    deadline = Deadline.after(15, CLOCK.monotonic())
    try:
        while not deadline.passed(CLOCK.monotonic()):
            member.poll()
    finally:
        member.source.close()


def test_the_right_credentials_and_rights_read_publish_and_commit(service: Service) -> None:
    service.allow(ResourceType.TOPIC, service.input, AclOperation.READ)
    service.allow(ResourceType.GROUP, service.group, AclOperation.READ)
    for topic in (service.output, service.dead):
        service.allow(ResourceType.TOPIC, topic, AclOperation.WRITE)
    admin = admin_of(service.address, service.client)
    admin.wait_ready(10)
    admin.check_group(service.group)
    member = service.member()
    assert sorted(member.read_until_caught_up()) == everything(20, 2)
    sink = service.sink()
    sink.start()
    sink.publish(scored_batch([b"scored"]))
    while not sink.flushed(0.1):
        pass
    member.commit()
    member.source.close()
    sink.close()
    assert [m.value() for m in messages_in(service.broker.bootstrap_servers, service.output, 2)] == [b"scored"]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_both_kinds_of_scram_are_let_in(service: Service, mechanism: str) -> None:
    admin_of(service.address, service.client | {"sasl.mechanism": mechanism}).wait_ready(10)


def with_tokens(service: Service) -> dict[str, Any]:
    return {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": service.client["ssl.ca.location"],
        "sasl.mechanism": "OAUTHBEARER",
        "enable.sasl.oauthbearer.unsecure.jwt": True,
        "sasl.oauthbearer.config": "principal=alice",
    }


def test_a_token_is_let_in(service: Service) -> None:
    admin_of(service.address, with_tokens(service)).wait_ready(10)


def test_a_token_is_there_before_anybody_polls(service: Service) -> None:
    properties = consumer_properties(service.address, with_tokens(service), client_id="tests", group_id=service.group)
    consumer = NativeConsumer(properties, on_error=lambda _error: None, on_commit=lambda *_answer: None)
    consumer.probe(service.input, 5.0)
    consumer.close()


def test_a_wrong_password_ends_the_wait_at_once(service: Service) -> None:
    admin = admin_of(service.address, service.client | {"sasl.password": "hunter2"})
    sentence = refusal(lambda: admin.wait_ready(60))
    assert service.address in sentence
    assert "sasl.password" in sentence
    assert "hunter2" not in sentence


def test_a_wrong_password_ends_a_source_that_was_not_checked_before(service: Service) -> None:
    service.client["sasl.password"] = "hunter2"
    assert "sasl.password" in refusal(lambda: poll_on(service.member()))


def test_a_certificate_of_another_authority_ends_the_wait_at_once(service: Service, tmp_path: Path) -> None:
    other = make_server_certificate(tmp_path / "other")
    admin = admin_of(service.address, service.client | {"ssl.ca.location": str(other.ca)})
    assert "ssl.ca.location" in refusal(lambda: admin.wait_ready(60))


def test_plain_text_at_a_tls_listener_does_not_hang(service: Service) -> None:
    with pytest.raises(StreamInferError, match=service.address):
        admin_of(service.address, {}).wait_ready(3)


def test_no_right_to_the_input_topic_names_the_topic(service: Service) -> None:
    service.allow(ResourceType.GROUP, service.group, AclOperation.READ)
    sentence = refusal(lambda: poll_on(service.member()))
    assert service.input in sentence
    assert "ACL" in sentence


def test_no_right_to_the_group_names_the_right(service: Service) -> None:
    service.allow(ResourceType.TOPIC, service.input, AclOperation.READ)
    assert "no right to this group" in refusal(lambda: poll_on(service.member()))
    admin = admin_of(service.address, service.client)
    assert service.group in refusal(lambda: admin.check_group(service.group))


def test_no_right_to_see_the_output_topic_names_it_at_the_start(service: Service) -> None:
    assert service.output in refusal(service.sink().start)


def test_no_right_to_write_names_the_topic(service: Service) -> None:
    for topic in (service.output, service.dead):
        service.allow(ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    sink = service.sink()
    sink.start()
    sink.publish(scored_batch([b"scored"]))

    def flush() -> None:
        while not sink.flushed(0.1):
            pass

    assert service.output in refusal(flush)
    sink.close()


def test_no_right_to_the_transactional_id_names_it_at_the_start(service: Service) -> None:
    for topic in (service.output, service.dead):
        service.allow(ResourceType.TOPIC, topic, AclOperation.WRITE)
    sentence = refusal(service.transactional_sink().start)
    assert service.name in sentence
    assert "no right to this transactional id" in sentence


def test_a_wrong_password_ends_a_transactional_sink_that_was_not_checked_before(service: Service) -> None:
    for topic in (service.output, service.dead):
        service.allow(ResourceType.TOPIC, topic, AclOperation.WRITE)
    knowing = admin_of(service.address, service.client)
    service.client["sasl.password"] = "hunter2"
    sink = service.transactional_sink()
    sink._admin = knowing
    assert "sasl.password" in refusal(sink.start)


def test_transactions_take_the_right_to_write_with_the_transactional_id(service: Service) -> None:
    service.allow(ResourceType.TOPIC, service.input, AclOperation.READ)
    service.allow(ResourceType.GROUP, service.group, AclOperation.READ)
    service.allow(ResourceType.TRANSACTIONAL_ID, service.name, AclOperation.WRITE)
    for topic in (service.output, service.dead):
        service.allow(ResourceType.TOPIC, topic, AclOperation.WRITE)
    member = service.member()
    member.read_until_caught_up()
    sink = service.transactional_sink()
    sink.start()
    sink.publish(scored_batch([b"scored"]))
    sink.begin_commit(dict.fromkeys(member.listener.owned, Commit(10)), member.source.membership())
    assert sink.commit_done(10)
    assert member.source.committed(member.listener.owned) == dict.fromkeys(member.listener.owned, 10)
    sink.close()
    member.source.close()
    assert [m.value() for m in messages_in(service.broker.bootstrap_servers, service.output, 2)] == [b"scored"]


def test_no_right_to_create_names_the_topic(service: Service) -> None:
    topic = unique_name("new")
    admin = admin_of(service.address, service.client)
    assert topic in refusal(lambda: admin.create_topics([TopicSpec(topic, 1)]))
