"""What a trial will be: everything that is drawn by lot, drawn before it begins.

Rule: pure. A plan follows from its key (guarantee, rebalance protocol, seed) and nothing else, so that a seed
that failed can be run again. What differs from run to run is timing alone.

Seeds share their draw over both guarantees and clients, not over the protocols: the same weather meets either way of
delivering.
Even seeds have three brokers, seeds 1 and 2 modulo 4 static members; the rest is drawn.

Brokers fail on clusters of three only, one at a time. A single broker that is killed (4.3.1) may forget to end a
transaction: when it comes back and the transaction has timed out meanwhile, it knows no leader for its own partitions
yet, takes them for deleted, and never writes the abort; the next commit of that producer then makes visible what was
to be aborted. No client can do anything about it.
"""

from __future__ import annotations

import enum
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from integration.faults.history import Guarantee

Protocol: TypeAlias = Literal["range", "cooperative-sticky", "consumer"]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

STORM_S = 16.0
"""Seconds in which faults happen. With the start, the drain and the judgement a trial takes about twice that."""
MAX_REPLICAS = 4
"""The most that run at once: three, and one that joins."""
ALL = -1
"""Target of a network fault that meets every replica."""

SESSION_TIMEOUT_MS = 6000
LONG_POLL_INTERVAL_MS = 60_000
SHORT_POLL_INTERVAL_MS = 8000

_EDGE_S = 1.0
"""Faults begin this long after the storm's beginning, and end this long before its end."""
_LEADERS_RETURN_S = 5.0
"""After a broker fault: by then the node has caught up, and can be given its leaders back."""


class TrialKey(NamedTuple):
    """What names a trial, and all that it follows from."""

    guarantee: Guarantee
    protocol: Protocol
    seed: int

    def __str__(self) -> str:
        return f"{self.guarantee}/{self.protocol}/{self.seed}"

    @property
    def nodes(self) -> int:
        """Size of the cluster: 1 or 3."""
        return 3 if self.seed % 2 == 0 else 1

    @property
    def static_members(self) -> bool:
        """``group.instance.id`` and ``instance`` are set."""
        return self.seed % 4 in (1, 2)


class FaultKind(enum.StrEnum):
    """What can go wrong. Most have an end, at which it is mended."""

    KILL_REPLICA = "kill_replica"
    """SIGKILL; started again a moment later."""
    TERMINATE_REPLICA = "terminate_replica"
    """SIGTERM; started again a moment later."""
    FREEZE_REPLICA = "freeze_replica"
    """SIGSTOP for longer than the session, then SIGCONT."""
    OVERSLEEP = "oversleep"
    """SIGSTOP for longer than ``max.poll.interval.ms``, then SIGCONT."""
    SCALE_UP = "scale_up"
    """One more replica joins, and leaves again."""
    SCALE_DOWN = "scale_down"
    """A replica leaves, and comes back."""
    KILL_BROKER = "kill_broker"
    """SIGKILL of a node, then a restart."""
    FREEZE_BROKER = "freeze_broker"
    """SIGSTOP of a node: connections stay, and with three nodes its leaders move while it still believes in them."""
    ROLL_BROKER = "roll_broker"
    """An orderly stop of a node and a restart: with three nodes its leaders move in order."""
    FULL_DISK = "full_disk"
    """The files of a node cannot grow any more, so that it ends with a torn write; then a restart."""
    MOVE_LEADERS = "move_leaders"
    """Preferred leaders take over again, some seconds after a broker fault moved them (three nodes)."""
    RESET = "reset"
    """Every connection of a replica, or of all, ends with a TCP reset."""
    BLACK_HOLE = "black_hole"
    """Connections stay open, and nothing passes."""
    CUT = "cut"
    """Connections are closed, and refused."""
    NARROW_BAND = "narrow_band"
    """Some KB/s each way."""
    LATENCY = "latency"
    """Milliseconds each way, give or take a half."""
    MISSING_DEAD_LETTERS = "missing_dead_letters"
    """The topic of the dead letters is deleted while poison comes, and made again."""
    TOO_FEW_REPLICAS = "too_few_replicas"
    """The output topic asks for more in-sync replicas than there are: nothing can be published."""
    POISON_BURST = "poison_burst"
    """Several events in a row that cannot be decoded."""
    SLOW_MODEL = "slow_model"
    """An event whose model call takes seconds."""


BROKER_FAULTS = frozenset({FaultKind.KILL_BROKER, FaultKind.FREEZE_BROKER, FaultKind.ROLL_BROKER, FaultKind.FULL_DISK})
REPLICA_FAULTS = frozenset(
    {
        FaultKind.KILL_REPLICA,
        FaultKind.TERMINATE_REPLICA,
        FaultKind.FREEZE_REPLICA,
        FaultKind.OVERSLEEP,
        FaultKind.SCALE_DOWN,
    }
)
NETWORK_FAULTS = frozenset(
    {FaultKind.RESET, FaultKind.BLACK_HOLE, FaultKind.CUT, FaultKind.NARROW_BAND, FaultKind.LATENCY}
)
TOPIC_FAULTS = frozenset({FaultKind.MISSING_DEAD_LETTERS, FaultKind.TOO_FEW_REPLICAS})
_EXCLUDES: dict[FaultKind, frozenset[FaultKind]] = {
    # A topic cannot be changed while a node is away.
    **dict.fromkeys(BROKER_FAULTS, TOPIC_FAULTS),
    **{kind: frozenset({kind}) for kind in TOPIC_FAULTS},
    FaultKind.SCALE_UP: frozenset({FaultKind.SCALE_UP}),
}
"""What cannot come any more in a trial once a kind has been drawn."""


class _Odds(NamedTuple):
    weight: int
    duration_s: tuple[float, float] = (0.0, 0.0)
    amount: tuple[int, int] = (0, 0)


_ODDS: dict[FaultKind, _Odds] = {
    FaultKind.KILL_REPLICA: _Odds(6),
    FaultKind.TERMINATE_REPLICA: _Odds(3),
    FaultKind.FREEZE_REPLICA: _Odds(3, (7.0, 8.5)),
    FaultKind.OVERSLEEP: _Odds(2, (9.0, 11.0)),
    FaultKind.SCALE_UP: _Odds(2, (4.0, 8.0)),
    FaultKind.SCALE_DOWN: _Odds(2, (3.0, 6.0)),
    FaultKind.KILL_BROKER: _Odds(3, (0.5, 3.0)),
    FaultKind.FREEZE_BROKER: _Odds(2, (2.0, 5.0)),
    FaultKind.ROLL_BROKER: _Odds(2, (0.5, 2.0)),
    FaultKind.FULL_DISK: _Odds(2, (2.0, 4.0)),
    FaultKind.RESET: _Odds(3, (0.5, 3.0)),
    FaultKind.BLACK_HOLE: _Odds(3, (3.0, 12.0)),
    FaultKind.CUT: _Odds(2, (1.0, 6.0)),
    FaultKind.NARROW_BAND: _Odds(2, (3.0, 8.0), (20, 200)),
    FaultKind.LATENCY: _Odds(2, (3.0, 8.0), (50, 1000)),
    FaultKind.MISSING_DEAD_LETTERS: _Odds(2, (2.0, 5.0)),
    FaultKind.TOO_FEW_REPLICAS: _Odds(2, (2.0, 6.0)),
    FaultKind.POISON_BURST: _Odds(2, amount=(5, 60)),
    FaultKind.SLOW_MODEL: _Odds(2, amount=(1500, 3000)),
}
"""How often each is drawn, for how many seconds, and how much of it. `MOVE_LEADERS` follows from broker faults."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that will go wrong.

    ``at_s`` counts from the storm's beginning. ``duration_s`` is 0 for what has no end. ``target`` numbers a replica
    (from 0; `ALL` for each, with network faults) or a node (from 1). ``amount`` is KB/s, ms or events, by kind.
    """

    kind: FaultKind
    at_s: float
    duration_s: float = 0.0
    target: int = 0
    amount: int = 0

    @property
    def until_s(self) -> float:
        """When it is mended."""
        return self.at_s + self.duration_s

    @property
    def victim(self) -> str:
        """What it meets, in words; empty where that is the topic or the input."""
        if self.kind in BROKER_FAULTS:
            return f"broker {self.target}"
        if self.kind in NETWORK_FAULTS and self.target == ALL:
            return "all replicas"
        return f"replica {self.target}" if self.kind in REPLICA_FAULTS | NETWORK_FAULTS else ""

    def __str__(self) -> str:
        parts = [f"{self.at_s:5.1f} s  {self.kind}", self.victim]
        if self.amount:
            parts.append(f"amount {self.amount}")
        if self.duration_s:
            parts.append(f"for {self.duration_s:.1f} s")
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Plan:
    """A trial, before it is run."""

    key: TrialKey
    storm_s: float
    replicas: int
    static_members: bool
    """``group.instance.id`` and ``instance`` are set."""
    partitions: int
    events_per_s: int
    max_batch_size: int
    workers: int
    commit_interval_ms: int
    max_poll_interval_ms: int
    faults: tuple[Fault, ...]
    """In the order in which they begin."""
    max_events: int | None = None
    """Where the input ends; None: with the storm."""
    transaction_timeout_ms: int = 6000
    """How long an abandoned transaction holds up readers. Short, since trials wait for that."""

    @property
    def poison_waits(self) -> bool:
        """True where poison waits for the topic of the dead letters to be deleted, which must be empty then."""
        return any(fault.kind is FaultKind.MISSING_DEAD_LETTERS for fault in self.faults)

    def explain(self) -> str:
        """The plan in words, a line for each fault."""
        members = "static" if self.static_members else "dynamic"
        head = (
            f"{self.key}: {self.key.nodes} broker(s), {self.replicas} {members} replicas, "
            f"{self.partitions} partitions, {self.events_per_s} events/s, batches of {self.max_batch_size}, "
            f"{self.workers} workers, commit every {self.commit_interval_ms} ms, "
            f"poll interval {self.max_poll_interval_ms} ms"
        )
        return "\n".join([head, *(f"  {fault}" for fault in self.faults)])


def make_plan(key: TrialKey, storm_s: float = STORM_S) -> Plan:
    """The plan that follows from ``key``.

    Args:
        key: which trial.
        storm_s: seconds in which faults happen; a shorter storm has fewer of them.
    """
    rng = random.Random(f"{key.protocol}/{key.seed}")
    replicas = rng.choice((2, 3))
    workers = rng.choice((0, 0, 2))
    faults = _draw_faults(rng, key.nodes, replicas, storm_s)
    kinds = {fault.kind for fault in faults}
    # A call of a model that outlasts the poll interval on the main thread would do so again at each new owner.
    short_poll = FaultKind.OVERSLEEP in kinds and (workers > 0 or FaultKind.SLOW_MODEL not in kinds)
    return Plan(
        key,
        storm_s,
        replicas,
        static_members=key.static_members,
        partitions=rng.choice((4, 6)),
        events_per_s=rng.randrange(400, 1000, 50),
        max_batch_size=rng.choice((32, 128, 512)),
        workers=workers,
        commit_interval_ms=rng.choice((100, 200, 500, 1000)),
        max_poll_interval_ms=SHORT_POLL_INTERVAL_MS if short_poll else LONG_POLL_INTERVAL_MS,
        faults=faults,
    )


def _draw_faults(rng: random.Random, nodes: int, replicas: int, storm_s: float) -> tuple[Fault, ...]:
    fitting = {kind: odd for kind, odd in _ODDS.items() if odd.duration_s[0] <= storm_s - 2 * _EDGE_S}
    odds = {kind: odd for kind, odd in fitting.items() if kind not in BROKER_FAULTS}
    brokers = {kind: odd for kind, odd in fitting.items() if kind in BROKER_FAULTS}
    faults: list[Fault] = []
    for number in range(rng.randint(3, 6 if storm_s >= STORM_S else 3)):
        kind = _draw_kind(rng, brokers if nodes > 1 and number == 0 else odds)
        fault = _draw(rng, kind, _ODDS[kind], nodes, replicas, storm_s)
        faults.append(fault)
        faults += _leaders_return(fault, nodes, storm_s)
        for excluded in _EXCLUDES.get(kind, frozenset()):
            odds.pop(excluded, None)
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _draw_kind(rng: random.Random, odds: Mapping[FaultKind, _Odds]) -> FaultKind:
    return rng.choices(list(odds), [odd.weight for odd in odds.values()])[0]


def _draw(rng: random.Random, kind: FaultKind, odds: _Odds, nodes: int, replicas: int, storm_s: float) -> Fault:
    room = storm_s - 2 * _EDGE_S
    duration_s = min(rng.uniform(*odds.duration_s), room)
    at_s = _EDGE_S + rng.uniform(0, room - duration_s)
    target = rng.randint(1, nodes) if kind in BROKER_FAULTS else rng.randrange(replicas)
    if kind in NETWORK_FAULTS and rng.random() < 0.3:
        target = ALL
    return Fault(kind, round(at_s, 1), round(duration_s, 1), target, rng.randint(*odds.amount))


def _leaders_return(fault: Fault, nodes: int, storm_s: float) -> list[Fault]:
    at_s = fault.until_s + _LEADERS_RETURN_S
    moved = fault.kind in BROKER_FAULTS and nodes > 1 and at_s < storm_s
    return [Fault(FaultKind.MOVE_LEADERS, round(at_s, 1))] if moved else []


def trial_keys(
    first_seed: int,
    guarantees: Sequence[Guarantee] = GUARANTEES,
    protocols: Sequence[Protocol] = PROTOCOLS,
) -> Iterator[TrialKey]:
    """Keys without end: each seed with every guarantee and protocol, then the next seed."""
    for seed in itertools.count(first_seed):
        for protocol, guarantee in itertools.product(protocols, guarantees):
            yield TrialKey(guarantee, protocol, seed)


__all__ = [
    "ALL",
    "BROKER_FAULTS",
    "GUARANTEES",
    "MAX_REPLICAS",
    "NETWORK_FAULTS",
    "PROTOCOLS",
    "REPLICA_FAULTS",
    "SESSION_TIMEOUT_MS",
    "STORM_S",
    "Fault",
    "FaultKind",
    "Plan",
    "Protocol",
    "TrialKey",
    "make_plan",
    "trial_keys",
]
