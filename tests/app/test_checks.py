"""What ``validate`` finds without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stream_infer.app import check_offline
from stream_infer.app.assembly import load_model
from stream_infer.bundle import ModelBundle
from stream_infer.config.load import config_from_mapping
from stream_infer.errors import ConfigError
from stream_infer.scoring import open_model
from stream_infer.scoring.verify import LoadedModel

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


def test_execution_providers_that_are_not_there_are_named_with_those_that_are() -> None:
    wrong = config(model={"bundle": BUNDLE, "providers": ["NoSuchProvider", "CPUExecutionProvider", "NorThis"]})
    for start in (check_offline, load_model):
        with pytest.raises(ConfigError) as caught:
            start(wrong)
        assert [problem.path for problem in caught.value.problems] == ["model.providers"] * 2
        assert [problem.message.split()[0] for problem in caught.value.problems] == ["NoSuchProvider", "NorThis"]
        assert all("CPUExecutionProvider" in problem.hint for problem in caught.value.problems)


def test_the_model_is_opened_with_the_providers_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def opened(bundle: ModelBundle, *, warm_up_sizes: Sequence[int], providers: Sequence[str]) -> LoadedModel:
        asked.append(providers)
        return open_model(bundle, warm_up_sizes=warm_up_sizes, providers=providers)

    monkeypatch.setattr("stream_infer.app.assembly.open_model", opened)
    providers = ["AzureExecutionProvider", "CPUExecutionProvider"]
    load_model(config())
    load_model(config(model={"bundle": BUNDLE, "providers": providers}))
    assert asked == [("CPUExecutionProvider",), tuple(providers)]


def test_a_list_of_no_providers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.providers"):
        config(model={"bundle": BUNDLE, "providers": []})
