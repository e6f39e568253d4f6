"""What ``validate`` finds without a network."""

from __future__ import annotations

from typing import Any

import pytest

from stream_infer.app import check_offline
from stream_infer.config.load import config_from_mapping
from stream_infer.errors import ConfigError

BUNDLE = "stream_infer/demo_bundle/payments-1.bundle.jar"


def config(**sections: Any) -> Any:
    return config_from_mapping(
        {
            "name": "t",
            "kafka": {"bootstrap_servers": "127.0.0.1:9092"},
            "source": {"topics": ["in"], "group_id": "g", "codec": {"type": "json"}},
            "model": {"bundle": BUNDLE},
            "sink": {"topic": "out", "codec": {"type": "json"}, "fields": ["transaction_id"]},
            "dead_letter": {"topic": "dlq"},
            **sections,
        }
    )


def test_a_config_that_fits_its_bundle_passes() -> None:
    check_offline(config())


def test_a_carried_field_that_the_event_does_not_have_is_named_with_the_nearest_one() -> None:
    sink = {"topic": "out", "codec": {"type": "json"}, "fields": ["transaction_id", "amonut"]}
    with pytest.raises(ConfigError, match="amonut") as caught:
        check_offline(config(sink=sink))
    [problem] = caught.value.problems
    assert (problem.path, problem.hint) == ("sink.fields", "did you mean amount?")


def test_librdkafka_judges_its_own_properties() -> None:
    kafka = {"bootstrap_servers": "127.0.0.1:9092", "client": {"sesion.timeout.ms": 6000, "group.id": "mine"}}
    with pytest.raises(ConfigError) as caught:
        check_offline(config(kafka=kafka))
    assert [problem.path for problem in caught.value.problems] == ["kafka.client.group.id"]
    kafka["client"] = {"sesion.timeout.ms": 6000}
    with pytest.raises(ConfigError, match=r"kafka.client.sesion.timeout.ms"):
        check_offline(config(kafka=kafka))
