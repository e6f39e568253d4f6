"""The gate holds at the high watermark, pauses late, and opens at the low one."""

from stream_infer.core.flow import FlowGate, FlowLimits, GateState


def gate() -> FlowGate:
    return FlowGate(FlowLimits(max_records=100, max_bytes=1000, low_ratio=0.5, pause_after_s=8.0))


def test_room_shrinks_with_what_is_buffered() -> None:
    open_gate = gate()
    assert open_gate.room(0) == 100
    assert open_gate.room(70) == 30
    assert open_gate.room(120) == 0


def test_it_holds_at_either_watermark() -> None:
    by_count, by_bytes = gate(), gate()
    assert by_count.update(100, 0, 1.0) is GateState.HOLD
    assert by_bytes.update(1, 1000, 1.0) is GateState.HOLD
    assert by_count.room(0) == 0


def test_it_opens_only_below_the_low_watermark_of_both() -> None:
    held = gate()
    held.update(100, 1000, 1.0)
    assert held.update(51, 0, 2.0) is None
    assert held.update(10, 501, 2.0) is None
    assert held.update(50, 500, 2.0) is GateState.OPEN


def test_it_pauses_after_holding_long_and_counts_from_the_hold() -> None:
    held = gate()
    held.update(100, 0, 1.0)
    assert held.update(100, 0, 8.9) is None
    assert held.update(100, 0, 9.0) is GateState.PAUSED
    assert held.update(20, 0, 9.1) is GateState.OPEN


def test_a_new_assignment_ends_the_clients_pause_so_the_gate_pauses_again() -> None:
    paused = gate()
    paused.update(100, 0, 1.0)
    paused.update(100, 0, 9.0)
    paused.unpaused(10.0)
    assert paused.state is GateState.HOLD
    assert paused.update(100, 0, 17.9) is None
    assert paused.update(100, 0, 18.0) is GateState.PAUSED
