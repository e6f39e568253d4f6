"""Plain and tuned code say the same of each kind of event, and stream_infer is told to do so, too."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

from bench.rivals import models
from bench.rivals.scorers import Scorer, cell, plain_format, scorer
from bench.rivals.subjects import SUBJECTS
from bench.rivals.tuned_formats import getter, struct_of, tuned_format
from bench.rivals.workloads import WORKLOADS, Prepared, offline_task, prepare
from stream_infer import Scorer as BundleScorer
from stream_infer.config.load import load_config
from stream_infer.types import Float32Array, Int64Array

COUNT = 60


def small_trees(rows: Float32Array, _classes: Int64Array) -> bytes:
    return models.boosted(3)(rows, (rows[:, 0] > np.median(rows[:, 0])).astype(np.int64))


@pytest.fixture(scope="module", params=["payment", "payment_json", "floats", "crayfish"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    workload = replace(WORKLOADS[request.param], train=small_trees, training_events=200, sample_events=COUNT)
    return prepare(workload, COUNT, tmp_path_factory.mktemp("workloads"))


def test_plain_and_tuned_code_say_the_same(prepared: Prepared) -> None:
    task, values = offline_task(prepared), prepared.events.values
    tuned = Scorer(tuned_format(task), task.model)
    np.testing.assert_array_equal(tuned.scores(values), prepared.scores)
    read = SUBJECTS["plain_python"].start(task, prepared, prepared.folder).read
    assert read is not None
    told = read(scorer(task)(values))
    assert [one.id for one in told] == prepared.ids
    np.testing.assert_array_equal(np.array([one.score for one in told], np.float32), prepared.scores)
    assert read(tuned(values)) == told


@pytest.mark.parametrize("prepared", ["payment", "floats"], indirect=True)
def test_tuned_avro_is_the_same_bytes(prepared: Prepared) -> None:
    task, values = offline_task(prepared), prepared.events.values
    assert Scorer(tuned_format(task), task.model)(values) == scorer(task)(values)


def test_the_bundle_scores_as_the_reference(prepared: Prepared) -> None:
    events = list(map(plain_format(offline_task(prepared)).decode, prepared.events.values))
    scored = BundleScorer.load(prepared.bundle).score_events(events)
    np.testing.assert_array_equal(scored.score, prepared.scores)
    assert len(set(prepared.scores.tolist())) > 1


def test_the_service_gets_a_config_that_loads(prepared: Prepared, tmp_path: Path) -> None:
    task = replace(offline_task(prepared), bootstrap="localhost:9092", input="in", output="out", group="g")
    start = SUBJECTS["stream_infer"].start(task, prepared, tmp_path)
    config = load_config(start.command[-1])
    assert config.source.codec.type == config.sink.codec.type == prepared.workload.codec
    assert config.sink.fields == (prepared.workload.id_field,)
    assert config.model.bundle == prepared.bundle


@pytest.mark.parametrize("train", [models.logistic, models.perceptron, models.image_net])
def test_models_answer_a_probability_for_each_class(train: models.Train) -> None:
    random = np.random.default_rng(1)
    rows, classes = random.random((60, 5), np.float32), np.arange(60) % 3
    session = ort.InferenceSession(train(rows, classes))
    asked = rows.copy()
    if train is not models.image_net:
        asked[0, 2] = np.nan
    (answers,) = session.run(["probabilities"], {"X": asked})
    assert answers.shape == (60, 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)


EVENTS: list[dict[str, Any]] = [{"a": None, "b": "x"}, {"a": {"c": 2}, "b": "y"}, {"a": {"c": None}, "b": None}]


@pytest.mark.parametrize("take", [itemgetter, attrgetter])
def test_the_tuned_getter_takes_what_the_plain_one_takes(take: Any) -> None:
    struct = struct_of("Event", ["b", "a.c"])
    events: list[Any] = EVENTS if take is itemgetter else [msgspec.convert(event, struct) for event in EVENTS]
    for path, codes in (("a.c", None), ("b", {"x": 3})):
        taken = np.array([getter(path, codes, take)(event) for event in events], np.float32)
        np.testing.assert_array_equal(taken, [cell(event, path, codes) for event in EVENTS])
