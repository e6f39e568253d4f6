"""How long a batch waits for more events, where all that is given is a goal for their latency.

Rule: an event waits only while that pays, only on an idle line's time, and never beyond what is left of the goal.

Waiting costs latency and saves work, since every batch costs something before its first event: the fixed part that
`CostModel` learns, and a turn of the line (`TURN_S`). Let a batch leave every ``period``. Then

    fixed / period     of a core goes into the fixed cost of batches
    period / budget    of what the events may still spend goes into waiting; all of it is worth `WAIT_PRICE` of a core

and the sum, ``fixed / period + WAIT_PRICE * period / budget``, is least at

    period = sqrt(fixed * budget / WAIT_PRICE)

which is the economic order quantity of stock keeping. 110 us and a budget of 17 ms make 2.7 ms: 4 % of a core for the
fixed cost of batches, whatever the load. So the wait grows with the goal, but slower, and an event that comes late
waits less: with the budget used up it does not wait at all.

The rest follows. A period is the usual gap between arrivals and then a wait; where it does not hold two such gaps,
waiting would bring hardly any company, and every event leaves at once. Behind a batch that took long the next one
leaves at once as well, since its period is over: under load batches grow to whatever came meanwhile, and the line is
never idle for the sake of a batch.
"""

from __future__ import annotations

import math

from stream_infer.core import age
from stream_infer.core.cost_model import BatchCost, CostModel
from stream_infer.core.waiting import Learned, Trigger, Waiting
from stream_infer.types import Records

WAIT_PRICE = 0.25
"""What it is worth, in cores, to score events at once instead of at the end of their budget."""
TURN_S = 50e-6
"""What a batch costs the line beside scoring: to sleep, to wake up, to poll. Measured, not learned: no clock in the
process sees what a wake-up costs. Half or twice as much would move the period by a quarter."""
FIXED_SHARE = 0.1
"""Share of fixed cost that batches may have which are kept small for the goal's sake: what it costs in throughput."""
_GAP_WEIGHT = 1 / 32
"""Weight of the latest gap in their average: enough are remembered to tell a trickle from a stream."""


class LatencyGoal:
    """Waits as long as it pays, within what is left of the events' latency.

    The budget of an event is ``slo_s`` minus its age on arrival (by its timestamp where that is plausible, see
    `stream_infer.core.age`) minus ``publish_s``, and minus what scoring its batch takes. Until that is learned, and
    until gaps between arrivals were seen, batches leave at once.

    Args:
        slo_s: seconds from an event's timestamp to its scored event, as wanted of nearly all.
        publish_s: seconds from handing a scored event to the sink until it is written.
    """

    trigger = Trigger.SLO

    def __init__(self, slo_s: float, publish_s: float) -> None:
        self._slo_s = slo_s
        self._publish_s = publish_s
        self._costs = CostModel()
        self._busy_s = 0.0
        self._gap_s = slo_s

    def leave_by(self, records: Records, now: float) -> float:
        """When what the events may spend here is used up; in the past for those that come too late."""
        return now + self._slo_s - self._publish_s - age.oldest_s(records)

    def due_at(self, waiting: Waiting, idle: bool) -> float:
        """When waiting no longer pays. While everybody is busy nothing is gained by leaving: the batch grows."""
        if not idle:
            return math.inf
        cost = self._costs.cost
        if cost is None:
            return waiting.began_at
        budget_s = waiting.leave_by - cost.seconds(waiting.count) - waiting.began_at
        period_s = best_period_s(cost, budget_s)
        left_of_period_s = waiting.left_at + period_s - waiting.began_at
        return waiting.began_at + max(0.0, min(self._wait_s(period_s), left_of_period_s, budget_s))

    def batch_limit(self, max_batch_size: int) -> int:
        """So many that two batches fit the goal: an event that just missed one waits for it, and then for its own.

        Where the model is too slow for that, as many as it takes to keep the fixed cost at `FIXED_SHARE`.
        """
        cost = self._costs.cost
        if cost is None or cost.per_event_s == 0.0:
            return max_batch_size
        fitting = ((self._slo_s - self._publish_s) / 2 - cost.fixed_s) / cost.per_event_s
        efficient = cost.fixed_s / cost.per_event_s * (1 / FIXED_SHARE - 1)
        return max(1, int(min(max_batch_size, max(fitting, efficient))))

    def began(self, since_last_s: float) -> None:
        """Learn how long it takes until something comes, once the batch before is scored.

        Gaps beyond the goal count as the goal: nothing would wait for either.
        """
        gap_s = min(max(0.0, since_last_s - self._busy_s), self._slo_s)
        self._gap_s += _GAP_WEIGHT * (gap_s - self._gap_s)

    def scored(self, count: int, seconds: float) -> None:
        """Learn what a batch costs."""
        self._busy_s = seconds
        self._costs.learn(count, seconds)

    def learned(self) -> Learned | None:
        """The cost of a batch, and the wait of an event that arrives without delay."""
        cost = self._costs.cost
        if cost is None:
            return None
        budget_s = self._slo_s - self._publish_s - cost.seconds(1)
        return Learned(cost, max(0.0, min(self._wait_s(best_period_s(cost, budget_s)), budget_s)))

    def _wait_s(self, period_s: float) -> float:
        return period_s - self._gap_s if period_s >= 2 * self._gap_s else 0.0


def best_period_s(cost: BatchCost, budget_s: float) -> float:
    """Seconds from batch to batch at which fixed cost and waiting are worth least together (see the module)."""
    return math.sqrt((cost.fixed_s + TURN_S) * max(0.0, budget_s) / WAIT_PRICE)
