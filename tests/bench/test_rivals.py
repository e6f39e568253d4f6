from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.rivals.avro_scorer import cell
from bench.rivals.chart import bars
from bench.rivals.contract import Task
from bench.rivals.cpu_time import cpu_ticks
from bench.rivals.figures import Sample, median_ratio, steady_figures
from bench.rivals.gates import Gate, judge, sentence
from bench.rivals.page import last_runs, section
from bench.rivals.tuned_loop import getter

TASK = Task(
    "localhost:9092", "in", "out", "g", "floats", Path("m.onnx"), Path("i.avsc"), Path("o.avsc"), Path("assets"), 64, 2
)


def test_a_task_comes_through_the_environment_unchanged() -> None:
    assert Task.from_environment(TASK.to_environment()) == TASK


def test_a_missing_variable_is_named() -> None:
    variables = TASK.to_environment()
    del variables["RIVAL_MODEL"]
    with pytest.raises(ValueError, match=r"not set: RIVAL_MODEL$"):
        Task.from_environment(variables)


def test_an_unknown_workload_is_refused() -> None:
    with pytest.raises(ValueError, match="'trades'"):
        Task.from_environment(TASK.to_environment() | {"RIVAL_WORKLOAD": "trades"})


def test_the_start_of_a_run_does_not_count() -> None:
    samples = [Sample(0, 50, 0), Sample(5, 60, 200), Sample(7, 61, 600), Sample(9, 62, 1000), Sample(20, 90, 1000)]
    figures = steady_figures(samples, 1000)
    assert figures.cpu_us_per_event == pytest.approx(2500)
    assert figures.events_per_s == pytest.approx(200)


@pytest.mark.parametrize(
    ("samples", "why"),
    [([], "0 of 10"), ([Sample(0, 0, 9)], "9 of 10"), ([Sample(0, 0, 0), Sample(1, 1, 10)], "between two samples")],
)
def test_a_run_that_shows_nothing_gives_no_figures(samples: list[Sample], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        steady_figures(samples, 10)


def test_ratios_are_taken_within_a_repetition() -> None:
    # The medians of the figures, 4 and 20, would say 0.2.
    assert median_ratio({0: 4, 1: 10, 2: 2}, {0: 8, 1: 20, 2: 40, 3: 1}) == 0.5


def test_a_process_may_have_any_name() -> None:
    assert cpu_ticks("7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 3 4 20 10 20 0 1 0 99") == 37


def test_the_page_tells_the_last_run_of_each_workload() -> None:
    lines = [{"workload": name, "run": run} for name, run in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "2")]]
    assert last_runs(lines) == {"a": lines[2:], "b": [lines[1]]}


def test_a_gate_whose_subject_did_not_run_has_no_ratio() -> None:
    ours = {"subject": "stream_infer", "repetition": 0, "cpu_us_per_event": 3.0}
    theirs = {"subject": "streams", "repetition": 0, "cpu_us_per_event": 12.0}
    gate = Gate("streams", 0.2)
    assert judge([ours], gate) is None
    assert judge([ours, {"subject": "streams", "repetition": 0, "failed": "it ended with code 1"}], gate) is None
    assert judge([ours, theirs], gate) == 0.25
    assert sentence(gate, 0.25).startswith("FAILED")
    assert sentence(gate, 0.2).startswith("holds")


def test_a_chart_is_xml_whose_bars_are_as_long_as_their_values() -> None:
    chart = ElementTree.fromstring(bars("a < b", {"x & y": 4.0, "stream_infer": 1.0}))
    widths = [float(bar.attrib["width"]) for bar in chart.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths[1] == pytest.approx(4 * widths[0])


def test_the_tuned_getter_takes_what_the_plain_one_takes() -> None:
    events = [{"a": None, "b": "x"}, {"a": {"c": 2}, "b": "y"}, {"a": {"c": None}, "b": None}]
    for path, codes in (("a.c", None), ("b", {"x": 3})):
        taken = np.array([getter(path, codes)(event) for event in events], np.float32)
        np.testing.assert_array_equal(taken, [cell(event, path, codes) for event in events])


def test_the_page_says_why_a_subject_has_no_figures() -> None:
    run = {"run": "1", "workload": "floats", "events": 10, "machine": {"Kafka": "4"}, "at": "2026-11-23T15:00:00Z"}
    ours = {**run, "subject": "stream_infer", "repetition": 0, "cpu_us_per_event": 3.0, "events_per_s": 9}
    told = section("floats", [ours, {**run, "subject": "quix", "repetition": 0, "failed": "it was in no mood"}])
    assert "| stream_infer | 3.00 |" in told
    assert "- not run: Quix Streams: it was in no mood" in told
