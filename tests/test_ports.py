"""What several instruments hear of one fact."""

from __future__ import annotations

from stream_infer.ports import Instrument, Instruments


class _Listener(Instrument):
    def __init__(self, heard: list[tuple[str, float]], name: str) -> None:
        self._heard, self._name = heard, name

    def ticked(self, now: float) -> None:
        self._heard.append((self._name, now))


class _Deaf(Instrument):
    """Listens to nothing."""


def test_every_listener_hears_a_fact_in_order() -> None:
    heard: list[tuple[str, float]] = []
    both = Instruments(_Listener(heard, "first"), _Deaf(), _Listener(heard, "second"))
    both.ticked(1.5)
    both.stopped("done")
    assert heard == [("first", 1.5), ("second", 1.5)]


def test_instruments_may_be_nested() -> None:
    heard: list[tuple[str, float]] = []
    Instruments(_Deaf(), Instruments(_Listener(heard, "inner"))).ticked(now=2.0)
    assert heard == [("inner", 2.0)]
