"""How each fault is done, and how it is mended.

Rule: a fault does what its plan says or says that it could not (its victim is gone already); it never waits for an
effect. Mending puts right what there is to put right, and may come again where it failed.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from integration import support_log
from integration.faults.feeder import Feeder
from integration.faults.plan import ALL, Fault, FaultKind
from integration.faults.replicas import Replica
from integration.faults.service import Service
from integration.faults.stage import Stage
from integration.slow_models import turns_for

_MORE_THAN_THERE_ARE = 4
_DISK_ROOM_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class Arena:
    """Everything that a fault may lay hands on. ``extra`` is the replica that joins."""

    stage: Stage
    service: Service
    replicas: Sequence[Replica]
    extra: Replica
    feeder: Feeder

    def links(self, fault: Fault) -> list[str]:
        """The links that a network fault meets."""
        everybody = range(len(self.replicas) + 1)
        return self.stage.links(everybody if fault.target == ALL else range(fault.target, fault.target + 1))


Begin: TypeAlias = Callable[[Arena, Fault], bool]
End: TypeAlias = Callable[[Arena, Fault], None]


class _Way(NamedTuple):
    begin: Begin
    end: End = lambda _arena, _fault: None


def begin(arena: Arena, fault: Fault) -> bool:
    """Do a fault; False when it could not be done.

    Raises:
        KafkaException: nobody answers who could do it. It may be done all the same.
    """
    return _WAYS[fault.kind].begin(arena, fault)


def end(arena: Arena, fault: Fault) -> None:
    """Mend what the fault did.

    Raises:
        KafkaException: nobody answers who could mend it; to be mended later.
    """
    _WAYS[fault.kind].end(arena, fault)


# ---------------------------------------------------------------------- replicas


def _signal(number: signal.Signals) -> Begin:
    return lambda arena, fault: arena.replicas[fault.target].signal(number)


def _thaw(arena: Arena, fault: Fault) -> None:
    arena.replicas[fault.target].signal(signal.SIGCONT)


def _join(arena: Arena, _fault: Fault) -> bool:
    arena.extra.want()
    return True


def _leave(arena: Arena, _fault: Fault) -> None:
    arena.extra.retire()


def _retire(arena: Arena, fault: Fault) -> bool:
    return arena.replicas[fault.target].retire()


def _want_again(arena: Arena, fault: Fault) -> None:
    arena.replicas[fault.target].want()


# ---------------------------------------------------------------------- brokers


def _kill_broker(arena: Arena, fault: Fault) -> bool:
    arena.stage.kafka.kill_node(fault.target)
    return True


def _freeze_broker(arena: Arena, fault: Fault) -> bool:
    arena.stage.freeze_node(fault.target)
    return True


def _thaw_broker(arena: Arena, fault: Fault) -> None:
    arena.stage.thaw_node(fault.target)


def _stop_broker(arena: Arena, fault: Fault) -> bool:
    arena.stage.kafka.stop_node(fault.target)
    return True


def _fill_disk(arena: Arena, fault: Fault) -> bool:
    """Forbid a node to make any file longer than its longest log is soon.

    What a full disk does, without one: the write that passes the limit is torn, and fails with an I/O error.
    """
    node = fault.target
    logs = arena.stage.kafka.data_directory(node).glob("*/*.log")
    room = max((log.stat().st_size for log in logs), default=0) + _DISK_ROOM_BYTES
    pid = arena.stage.kafka.pid(node)
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, hard))
    return True


def _replace_disk(arena: Arena, fault: Fault) -> None:
    """Start the node anew, without the limit. It has ended by itself unless next to nothing was written."""
    node = fault.target
    if arena.stage.kafka.node_runs(node):
        arena.stage.kafka.kill_node(node)
    arena.stage.revive_node(node)


def _revive_broker(arena: Arena, fault: Fault) -> None:
    arena.stage.revive_node(fault.target)


def _move_leaders(arena: Arena, _fault: Fault) -> bool:
    return arena.stage.elect_preferred_leaders()


# ---------------------------------------------------------------------- network


def _toxic(kind: str, attributes: Callable[[Fault], dict[str, int]]) -> _Way:
    def add(arena: Arena, fault: Fault) -> bool:
        for link in arena.links(fault):
            arena.stage.toxiproxy.add_toxic(link, _toxic_name(fault), kind, **attributes(fault))
        return True

    def remove(arena: Arena, fault: Fault) -> None:
        for link in arena.links(fault):
            arena.stage.toxiproxy.remove_toxic(link, _toxic_name(fault))

    return _Way(add, remove)


def _toxic_name(fault: Fault) -> str:
    return f"{fault.kind}-{fault.at_s}"


def _cut(arena: Arena, fault: Fault) -> bool:
    for link in arena.links(fault):
        arena.stage.toxiproxy.cut(link)
    return True


def _join_again(arena: Arena, fault: Fault) -> None:
    for link in arena.links(fault):
        arena.stage.toxiproxy.join(link)


# ---------------------------------------------------------------------- topics


def _delete_dead_letters(arena: Arena, _fault: Fault) -> bool:
    empty = not any(support_log.ends(arena.stage.bootstrap_servers, arena.service.dead).values())
    if empty:
        arena.stage.delete_topic(arena.service.dead)
    arena.feeder.allow_poison()
    return empty


def _make_dead_letters(arena: Arena, _fault: Fault) -> None:
    if arena.service.dead not in arena.stage.admin.list_topics(timeout=10).topics:
        arena.stage.create_topic(arena.service.dead, 1)


def _ask_too_much(arena: Arena, _fault: Fault) -> bool:
    arena.stage.set_in_sync(arena.service.scored, _MORE_THAN_THERE_ARE)
    return True


def _ask_enough(arena: Arena, _fault: Fault) -> None:
    arena.stage.set_in_sync(arena.service.scored, None)


# ---------------------------------------------------------------------- input


def _poison(arena: Arena, fault: Fault) -> bool:
    arena.feeder.add_poison(fault.amount)
    return True


def _slow(arena: Arena, fault: Fault) -> bool:
    arena.feeder.add_slow(turns_for(fault.amount / 1000))
    return True


_WAYS: dict[FaultKind, _Way] = {
    FaultKind.KILL_REPLICA: _Way(_signal(signal.SIGKILL)),
    FaultKind.TERMINATE_REPLICA: _Way(_signal(signal.SIGTERM)),
    FaultKind.FREEZE_REPLICA: _Way(_signal(signal.SIGSTOP), _thaw),
    FaultKind.OVERSLEEP: _Way(_signal(signal.SIGSTOP), _thaw),
    FaultKind.SCALE_UP: _Way(_join, _leave),
    FaultKind.SCALE_DOWN: _Way(_retire, _want_again),
    FaultKind.KILL_BROKER: _Way(_kill_broker, _revive_broker),
    FaultKind.FREEZE_BROKER: _Way(_freeze_broker, _thaw_broker),
    FaultKind.ROLL_BROKER: _Way(_stop_broker, _revive_broker),
    FaultKind.FULL_DISK: _Way(_fill_disk, _replace_disk),
    FaultKind.MOVE_LEADERS: _Way(_move_leaders),
    FaultKind.RESET: _toxic("reset_peer", lambda _fault: {"timeout": 0}),
    FaultKind.BLACK_HOLE: _toxic("timeout", lambda _fault: {"timeout": 0}),
    FaultKind.CUT: _Way(_cut, _join_again),
    FaultKind.NARROW_BAND: _toxic("bandwidth", lambda fault: {"rate": fault.amount}),
    FaultKind.LATENCY: _toxic("latency", lambda fault: {"latency": fault.amount, "jitter": fault.amount // 2}),
    FaultKind.MISSING_DEAD_LETTERS: _Way(_delete_dead_letters, _make_dead_letters),
    FaultKind.TOO_FEW_REPLICAS: _Way(_ask_too_much, _ask_enough),
    FaultKind.POISON_BURST: _Way(_poison),
    FaultKind.SLOW_MODEL: _Way(_slow),
}

__all__ = ["Arena", "begin", "end"]
