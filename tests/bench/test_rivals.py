from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.rivals.chart import bars
from bench.rivals.contract import Task
from bench.rivals.cpu_time import cpu_ticks
from bench.rivals.figures import Sample, median_ratio, steady_figures
from bench.rivals.gates import GATES, OURS, Gate, RateGate, judged
from bench.rivals.outputs import Scored
from bench.rivals.page import last_runs, section
from bench.rivals.runner import SubjectFailed, check_scores, wanted_events
from bench.rivals.subjects import SUBJECTS
from bench.rivals.workloads import WORKLOADS

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


def line(subject: str, cpu_us: float, repetition: int = 0) -> dict[str, Any]:
    return {"subject": subject, "repetition": repetition, "cpu_us_per_event": cpu_us}


def test_a_gate_whose_subject_did_not_run_has_no_ratio() -> None:
    ours, theirs = line("stream_infer", 3.0), line("streams", 12.0)
    gate = Gate("streams", 0.2)
    assert gate.measure([ours]) is None
    assert gate.measure([ours, {"subject": "streams", "repetition": 0, "failed": "it ended with code 1"}]) is None
    assert gate.measure([ours, theirs]) == 0.25
    assert not gate.holds(None)
    assert gate.sentence(None).startswith("not run")
    assert gate.sentence(0.25).startswith("FAILED")
    assert gate.sentence(0.2).startswith("holds")


def test_a_rate_is_what_a_second_of_a_core_is_enough_for() -> None:
    gate = RateGate(19_110)
    assert gate.measure([line("streams", 1.0)]) is None
    assert gate.measure([line("stream_infer", cpu_us, turn) for turn, cpu_us in enumerate([10, 50, 80])]) == 20_000
    assert gate.sentence(None).startswith("not run")
    assert gate.sentence(20_000).startswith("holds")
    assert gate.sentence(19_109).startswith("FAILED")


def test_gates_hold_when_those_of_every_workload_do() -> None:
    runs = {name: [line(subject, 100) for subject in SUBJECTS] for name in GATES}
    for lines in runs.values():
        lines[0] = line("stream_infer", 10)
    held, told = judged(runs)
    assert held
    assert len(told) == len(GATES) + sum(map(len, GATES.values()))
    assert not judged({name: lines for name, lines in runs.items() if name != "crayfish"})[0]
    assert not judged(runs | {"payment_500": [line("stream_infer", 40), *runs["payment_500"][1:]]})[0]


def test_gates_compare_with_those_who_run() -> None:
    for name, gates in GATES.items():
        compared = {OURS, *(gate.other for gate in gates if isinstance(gate, Gate))}
        assert all(subject in SUBJECTS and WORKLOADS[name].compares(subject) for subject in compared)


def test_workloads_name_subjects_that_there_are() -> None:
    assert all(set(workload.subjects or ()) <= set(SUBJECTS) for workload in WORKLOADS.values())


def test_a_slow_subject_gets_a_share_but_not_too_little() -> None:
    assert wanted_events(0.1, 1_000_000) == 100_000
    assert wanted_events(0.1, 15_000) == 5_000
    assert wanted_events(0.1, 300) == 300


def test_a_wrong_score_or_flag_fails_a_run() -> None:
    expected = np.array([0.25, 0.75, 0.5], np.float32)
    check_scores(expected, [Scored("a", 0.25, False), Scored("b", 0.75, None), Scored("c", 0.5, False)])
    for wrong in (Scored("a", 0.26, False), Scored("a", 0.25, True), Scored("a", float("nan"), None)):
        with pytest.raises(SubjectFailed):
            check_scores(expected[:1], [wrong])


def test_a_chart_is_xml_whose_bars_are_as_long_as_their_values() -> None:
    chart = ElementTree.fromstring(bars("a < b", {"x & y": 4.0, "stream_infer": 1.0}))
    widths = [float(bar.attrib["width"]) for bar in chart.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths[1] == pytest.approx(4 * widths[0])


def test_the_page_says_why_a_subject_has_no_figures() -> None:
    run = {"run": "1", "workload": "floats", "events": 10, "machine": {"Kafka": "4"}, "at": "2026-11-23T15:00:00Z"}
    ours = {**run, "subject": "stream_infer", "repetition": 0, "cpu_us_per_event": 3.0, "events_per_s": 9}
    told = section("floats", [ours, {**run, "subject": "quix", "repetition": 0, "failed": "it was in no mood"}])
    assert "| stream_infer | 3.00 |" in told
    assert "- not run: Quix Streams: it was in no mood" in told


def test_the_page_names_only_those_who_are_compared() -> None:
    run = {"run": "1", "workload": "payment_mlp", "events": 10, "machine": {}, "at": "2026-11-23T15:00:00Z"}
    told = section("payment_mlp", [{**run, **line("stream_infer", 3.0), "events_per_s": 9}])
    assert "not run: hand-tuned Java loop" in told
    assert "Quix" not in told
    assert "17-64-32-1" in told
