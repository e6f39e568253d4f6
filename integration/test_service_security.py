"""The program against a SASL_SSL listener with ACLs: the right rights are enough, and a missing one has its sentence.

Rule: a password never shows, whatever goes wrong; every outcome here is searched for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the client's stubs leave some of these out
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from integration import support_log
from integration.certificates import make_server_certificate
from integration.command import Outcome, call, fails
from integration.local_kafka import LocalKafka
from integration.scenario import Scenario
from integration.slow_models import events, write_slow_bundle
from integration.topics import Topics

USER = "alice"
TIMEOUT_S = 30.0
BAD_EVENT = b"{bad"
DEAD_LETTERS = 3
"""Place of the dead-letter topic among `Secured.rights`."""


@dataclass
class Secured:
    """A service that logs in on the secured listener, what it may do there, and what must not be seen."""

    scenario: Scenario
    broker: LocalKafka
    secrets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._admin = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})
        self.secrets.append(self.broker.users[USER])

    @property
    def rights(self) -> list[tuple[ResourceType, str, AclOperation]]:
        """All that the service needs."""
        scenario = self.scenario
        return [
            (ResourceType.TOPIC, scenario.source, AclOperation.READ),
            (ResourceType.GROUP, scenario.group_id, AclOperation.READ),
            (ResourceType.TOPIC, scenario.sink, AclOperation.WRITE),
            (ResourceType.TOPIC, scenario.dead, AclOperation.WRITE),
        ]

    def grant(self, *rights: tuple[ResourceType, str, AclOperation]) -> None:
        """Let the service's user do this; reading and writing imply describing."""
        bindings = [
            AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)
            for kind, name, operation in rights
        ]
        for done in self._admin.create_acls(bindings).values():
            done.result(TIMEOUT_S)

    def revoke_all(self) -> None:
        """Take every right away."""
        any_name: Any = None  # which the client's stubs do not allow
        every = AclBindingFilter(
            ResourceType.ANY,
            any_name,
            ResourcePatternType.ANY,
            f"User:{USER}",
            any_name,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for done in self._admin.delete_acls([every]).values():
            done.result(TIMEOUT_S)

    def configure(self, **client: str) -> None:
        """Write the config with these changes to the client's properties (dots as underscores)."""
        changes = {key.replace("_", "."): value for key, value in client.items()}
        properties = {**self.client_properties(), **changes}
        self.scenario.write_config({"kafka.client": {key: value for key, value in properties.items() if value}})

    def client_properties(self) -> dict[str, str]:
        properties = self.broker.client_properties(USER)
        del properties["bootstrap.servers"]
        secret = self.scenario.directory / "password"
        secret.write_text(self.broker.users[USER])
        return properties | {"sasl.mechanism": "SCRAM-SHA-512", "sasl.password": f"${{file:{secret}}}"}

    def place_of(self, value: bytes) -> tuple[int, int]:
        """Partition and offset of an event of the input."""
        log = self.scenario.log(self.scenario.source)
        row = log.values.index(value)
        return int(log.partition[row]), int(log.offset[row])

    def run(self) -> Outcome:
        """Run until caught up."""
        return self._safe(call("run", self.scenario.config, "--until-caught-up"))

    def validate(self, *options: str) -> Outcome:
        """Validate with ``--connect``."""
        return self._safe(call("validate", self.scenario.config, "--connect", *options))

    def _safe(self, outcome: Outcome) -> Outcome:
        for secret in self.secrets:
            assert secret not in outcome.output
        return outcome


@pytest.fixture
def secured(secured_kafka: LocalKafka, tmp_path: Path) -> Iterator[Secured]:
    topics = Topics(secured_kafka.bootstrap_servers)
    bundle = write_slow_bundle(tmp_path / "quick-1.bundle.jar", heeds_events=False)
    overrides: dict[str, Any] = {
        "kafka.bootstrap_servers": secured_kafka.secured_servers,
        "sink.fields": ["id"],
        "timeouts.startup_seconds": 15,
    }
    with Scenario(
        tmp_path / "service",
        secured_kafka.bootstrap_servers,
        topics,
        events="json",
        partitions=2,
        bundle=bundle,
        overrides=overrides,
    ) as scenario:
        support_log.produce(scenario.bootstrap_servers, scenario.source, [*events(100), BAD_EVENT])
        service = Secured(scenario, secured_kafka)
        service.configure()
        yield service
        service.revoke_all()
    topics.delete_all()


def said(outcome: Outcome, *fragments: str) -> None:
    """Assert that one check failed with these fragments, with exit code 1."""
    failed = [line for line in outcome.stdout.splitlines() if line.startswith("FAILED")]
    assert outcome.code == 1, outcome.output
    assert any(all(fragment in line for fragment in fragments) for line in failed), outcome.output
    assert "Traceback" not in outcome.output


def test_the_right_credentials_and_rights_are_enough(secured: Secured) -> None:
    secured.grant(*secured.rights)

    assert secured.validate().code == 0
    outcome = secured.run()

    assert outcome.code == 0, outcome.output
    scenario = secured.scenario
    ends = scenario.input_ends()
    assert scenario.committed() == ends
    assert len(scenario.scored()) == 100
    assert len(scenario.dead_letters()) == 1
    assert secured.run().code == 0
    assert len(scenario.scored()) == 100


def test_secrets_are_not_shown(secured: Secured) -> None:
    secured.grant(*secured.rights)

    shown = secured.validate("--format", "json")

    answer = json.loads(shown.stdout)
    assert answer["ok"] is True
    assert answer["config"]["kafka"]["client"]["sasl.username"] == USER
    assert answer["config"]["kafka"]["client"]["sasl.password"]


def test_a_wrong_password(secured: Secured) -> None:
    secured.grant(*secured.rights)
    secured.secrets.append("not-her-password")
    secured.configure(sasl_password="not-her-password")

    fails(1, secured.run(), secured.broker.secured_servers, "refuses these credentials", "sasl.password")
    said(secured.validate(), "broker", "refuses these credentials")


def test_an_unknown_certificate_authority(secured: Secured, tmp_path: Path) -> None:
    secured.grant(*secured.rights)
    stranger = make_server_certificate(tmp_path / "stranger")
    secured.configure(ssl_ca_location=str(stranger.ca))

    fails(1, secured.run(), secured.broker.secured_servers, "no TLS connection", "ssl.ca.location")
    said(secured.validate(), "broker", "no TLS connection", "ssl.ca.location")


def test_a_plain_connection_to_a_secured_listener(secured: Secured) -> None:
    secured.grant(*secured.rights)
    secured.scenario.write_config({"timeouts.startup_seconds": 3})
    secured.configure(security_protocol="PLAINTEXT", sasl_mechanism="", sasl_username="", sasl_password="")

    fails(1, secured.run(), secured.broker.secured_servers)


@pytest.mark.parametrize(
    ("missing", "kind"), [(0, "topic"), (1, "group"), (2, "topic"), (3, "topic")], ids=["input", "group", "sink", "dlq"]
)
def test_a_missing_right(secured: Secured, missing: int, kind: str) -> None:
    lacking = secured.rights[missing]
    secured.grant(*(right for right in secured.rights if right != lacking))

    fails(1, secured.run(), lacking[1], f"no right to this {kind}", "ACL")
    said(secured.validate(), lacking[1], f"no right to this {kind}")
    assert secured.scenario.committed() == {}


@pytest.mark.parametrize("missing", [0, 2, 3], ids=["input", "sink", "dlq"])
def test_a_topic_that_may_be_seen_but_not_used(secured: Secured, missing: int) -> None:
    kind, name, operation = secured.rights[missing]
    secured.grant(*(right for right in secured.rights if right != (kind, name, operation)))
    secured.grant((kind, name, AclOperation.DESCRIBE))

    fails(1, secured.run(), name, "no right to this topic", "ACL")
    committed = secured.scenario.committed()
    if missing == DEAD_LETTERS:
        # Good events before the bad one may be done with; the bad one is not.
        partition, offset = secured.place_of(BAD_EVENT)
        assert committed.get(partition, 0) <= offset
    else:
        assert not any(committed.values()), "a mark commits where reading began, and nothing more"


def test_tokens_instead_of_passwords(secured: Secured) -> None:
    """OAUTHBEARER, with the unsigned tokens that client and broker both know for tests."""
    secured.grant(*secured.rights)
    secured.configure(
        sasl_mechanism="OAUTHBEARER",
        sasl_username="",
        sasl_password="",
        enable_sasl_oauthbearer_unsecure_jwt="true",
        sasl_oauthbearer_config=f"principal={USER}",
    )

    assert secured.validate().code == 0
    outcome = secured.run()

    assert outcome.code == 0, outcome.output
    assert len(secured.scenario.scored()) == 100
