"""Every metric of stream_infer, declared once: name, type, labels, meaning, and what to do about it.

Rule: this table is the only place that names a metric. The instrument creates its metrics from it, and
``docs/operations.md`` prints it, so neither can drift. Names follow Prometheus: prefix, base units, counters end in
``_total``. Label values come from fixed sets, except topic and partition, which are those this process owns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stream_infer.core.crashes import Level
from stream_infer.core.waiting import Trigger
from stream_infer.types import Status

STAGES = ("poll", "decode", "registry", "score", "publish", "commit", "drain")
"""Values of the ``stage`` label: what can be retried, fail a checkpoint, or run into its timeout."""
POLLING_PROVES = ("poll",)
SETTLING_PROVES = ("decode", "registry", "score")
COMMITTING_PROVES = ("publish", "commit")
"""Stages that a success shows to work. A batch that was being retried may be dropped (its partition was revoked), and
then nobody says that the retry succeeded; without this the stage would count as failing for ever."""
TRIGGERS = tuple(trigger.value for trigger in Trigger)
"""Values of the ``trigger`` label: what made a batch leave the batcher."""
GATE_STATES = ("open", "hold", "paused")
OUTCOMES = ("scored", "shed", "passed_over", "rejected")
"""Values of the ``outcome`` label. Each settled event has exactly one."""
REBALANCE_KINDS = ("assigned", "revoked", "lost")
CRASH_LEVELS = tuple(level.value for level in Level)
"""Values of the ``level`` label: how closely a crash has been narrowed down (`stream_infer.core.crashes`)."""
REJECTS = tuple(status for status in Status if status.is_reject)
OTHER = "other"
"""Stands in for a label value outside the fixed set, so that no caller can create series without bound."""

# One call of a stage. The fastest (decoding a handful of rows) take some 0.1 ms; timeouts end the slowest at 30 s.
STAGE_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# From the event's own time to the sink: milliseconds when all is well, up to an hour while a backlog is worked off.
# Finer than the above, since objectives are set on it.
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
# Powers of two up to 16 times the default `batching.max_batch_size`.
BATCH_RECORDS = tuple(float(2**power) for power in range(14))
# Twenty equal steps over the range of a probability; fixed, so that replicas and weeks can be compared and summed.
SCORES = tuple(round(step / 20, 2) for step in range(1, 21))


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric as it is exposed and documented.

    Args:
        name: full name, counters with ``_total``.
        kind: Prometheus type.
        help: one sentence for the exposition's HELP line.
        action: what an operator reads from it and does about it.
        labels: label names.
        buckets: upper bounds of a histogram, ascending, without infinity.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    action: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


RECORDS_POLLED = MetricSpec(
    "stream_infer_records_polled_total",
    "counter",
    "Records that arrived from the source.",
    "Traffic in. Falls to 0 with lag above 0: see gate_state and retrying.",
)
POLLED_BYTES = MetricSpec(
    "stream_infer_polled_bytes_total",
    "counter",
    "Bytes of keys and values that arrived from the source.",
    "Divided by records polled it is the mean event size; a jump often means a producer changed its format.",
)
EVENTS_SETTLED = MetricSpec(
    "stream_infer_events_settled_total",
    "counter",
    "Events handed to the sink or passed over, by outcome: scored, shed, passed_over (tombstones), rejected.",
    "Traffic out. The share of rejected and shed is the error ratio.",
    ("outcome",),
)
EVENTS_FLAGGED = MetricSpec(
    "stream_infer_events_flagged_total",
    "counter",
    "Scored events whose score reached the threshold.",
    "Flag rate = this over scored. A sudden change means the data, the model or the threshold changed.",
)
EVENTS_REJECTED = MetricSpec(
    "stream_infer_events_rejected_total",
    "counter",
    "Events sent to the dead letters, by reason and the stage that found it.",
    "Read the dead letters of that reason; the log names topic, partition and offset of an example. "
    "unknown_schema: the registry or the schema files lack a producer's schema. model_failed, model_output: the model. "
    "crashed: the event kills the process; see crash_suspicions.",
    ("stage", "reason"),
)
EVENT_LATENCY_SECONDS = MetricSpec(
    "stream_infer_event_latency_seconds",
    "histogram",
    "Time from an event's timestamp (or arrival) to the sink, of scored events; a timestamp in the future counts as 0.",
    "How late results are. High with lag: more replicas or a faster model. High without lag: batching.linger_ms "
    "or slo_ms, or producers that send late.",
    buckets=LATENCY_SECONDS,
)
EVENT_SCORE = MetricSpec(
    "stream_infer_event_score",
    "histogram",
    "Scores of scored events; a score below 0 counts in the first bucket and adds nothing to the sum.",
    "Compare with last week's shape: a shift without a new model means the input changed.",
    buckets=SCORES,
)
BATCHES_DISPATCHED = MetricSpec(
    "stream_infer_batches_dispatched_total",
    "counter",
    "Batches that left the batcher, by trigger: size, bytes, linger, slo, drain.",
    "Mostly linger or slo: there is room. Mostly size: the process is loaded, larger batches may help.",
    ("trigger",),
)
BATCH_SIZE_RECORDS = MetricSpec(
    "stream_infer_batch_size_records",
    "histogram",
    "Records per dispatched batch.",
    "Batches of one under load mean that linger_ms is too short to be of use; with slo_ms, that waiting would not pay.",
    buckets=BATCH_RECORDS,
)
BATCH_WAIT_SECONDS = MetricSpec(
    "stream_infer_batch_wait_seconds",
    "histogram",
    "Time the first record of a batch waited for the batch to be dispatched.",
    "Above batching.linger_ms or slo_ms: batches queue for the scorer; see batches_in_flight.",
    buckets=STAGE_SECONDS,
)
LEARNED_BATCH_SECONDS = MetricSpec(
    "stream_infer_learned_batch_seconds",
    "gauge",
    "What a batch costs before its first event, as learned; 0 without batching.slo_ms and until it is known.",
    "What batching saves. Under 0.1 ms is usual. Milliseconds: a model call that is slow to begin, or a slow sink.",
)
LEARNED_EVENT_SECONDS = MetricSpec(
    "stream_infer_learned_event_seconds",
    "gauge",
    "What each event of a batch costs, as learned; 0 without batching.slo_ms and until it is known.",
    "1 divided by it is about the most that one thread can score. A jump means another model or another machine.",
)
LEARNED_WAIT_SECONDS = MetricSpec(
    "stream_infer_learned_wait_seconds",
    "gauge",
    "How long an event that arrives without delay waits for others; 0 where waiting would not pay.",
    "Far below batching.slo_ms by design. 0 under load: batches fill up while the one before is scored, or events "
    "arrive so late that the goal leaves nothing.",
)
BATCH_DECODE_SECONDS = MetricSpec(
    "stream_infer_batch_decode_seconds",
    "histogram",
    "Time to decode one batch into columns.",
    "High: large events, or schemas that the slow decoder handles.",
    buckets=STAGE_SECONDS,
)
BATCH_SCORE_SECONDS = MetricSpec(
    "stream_infer_batch_score_seconds",
    "histogram",
    "Time to run the model and decide for one batch.",
    "The model's cost. Close to timeouts.score_seconds: lower batching.max_batch_size.",
    buckets=STAGE_SECONDS,
)
BATCH_ENCODE_SECONDS = MetricSpec(
    "stream_infer_batch_encode_seconds",
    "histogram",
    "Time to encode the scored events of one batch.",
    "High: many or large sink.fields.",
    buckets=STAGE_SECONDS,
)
BATCHES_BISECTED = MetricSpec(
    "stream_infer_batches_bisected_total",
    "counter",
    "Batches on which the model failed and which were bisected down to the events that cause it.",
    "Should stay at 0. Look at dead letters with reason model_failed.",
)
BISECT_CALLS = MetricSpec(
    "stream_infer_bisect_calls_total",
    "counter",
    "Further model calls that bisecting took.",
    "The cost of events that make the model fail.",
)
CHECKPOINTS_COMMITTED = MetricSpec(
    "stream_infer_checkpoints_committed_total",
    "counter",
    "Checkpoints: everything below the offsets was acknowledged and committed.",
    "No increase for several commit_interval_ms while events settle: see checkpoint_failures.",
)
CHECKPOINT_FAILURES = MetricSpec(
    "stream_infer_checkpoint_failures_total",
    "counter",
    "Checkpoints that failed, by stage (publish, commit); a failed publish rewinds the owned partitions.",
    "Each one repeats work and may repeat scored events downstream. publish: sink topic, quotas, "
    "min.insync.replicas. commit: the group coordinator.",
    ("stage",),
)
CHECKPOINT_SECONDS = MetricSpec(
    "stream_infer_checkpoint_seconds",
    "histogram",
    "Time from the start of a flush to the acknowledged commit.",
    "Rising: the brokers acknowledge slowly.",
    buckets=STAGE_SECONDS,
)
TRANSACTIONS_ABORTED = MetricSpec(
    "stream_infer_transactions_aborted_total",
    "counter",
    "Transactions that could not be committed; nothing of them is ever seen, and their events are scored again.",
    "Only with exactly_once. A few are weather. A steady rate: commits take longer than "
    "delivery.transaction_timeout_ms, or another process has this one's transactional.id; the log names the reason.",
)
LAST_CHECKPOINT = MetricSpec(
    "stream_infer_last_checkpoint_timestamp_seconds",
    "gauge",
    "Unix time of the last committed checkpoint; 0 before the first.",
    "time() minus this, together with lag above 0, says for how long nothing was finished. "
    "It also grows while there is nothing to commit.",
)
RETRIES = MetricSpec(
    "stream_infer_retries_total",
    "counter",
    "Operations that failed for now and were scheduled again, by stage.",
    "A few are weather. A steady rate: the log names the reason.",
    ("stage",),
)
RETRYING = MetricSpec(
    "stream_infer_retrying",
    "gauge",
    "1 while the stage is failing and being retried, else 0.",
    "1 for minutes: poll, publish, commit: the brokers; registry: the schema registry; score: the model.",
    ("stage",),
)
RETRY_FAILING_SECONDS = MetricSpec(
    "stream_infer_retry_failing_seconds",
    "gauge",
    "For how long the stage has been failing and being retried; 0 while it works.",
    "At timeouts.retry_seconds the process gives up and ends with code 1. /readyz says what is left.",
    ("stage",),
)
STAGE_TIMEOUTS = MetricSpec(
    "stream_infer_stage_timeouts_total",
    "counter",
    "Stages that did not end within their timeout, by stage.",
    "Any increase needs a look. score: a model call hangs; if it cannot be stopped the process ends with code 1.",
    ("stage",),
)
GATE_STATE = MetricSpec(
    "stream_infer_gate_state",
    "gauge",
    "1 for the state that the flow gate is in: open, hold or paused; 0 for the others.",
    "hold now and then under load is normal. paused: scoring is slower than the input for longer than "
    "flow.pause_after_ms.",
    ("state",),
)
GATE_HELD_SECONDS = MetricSpec(
    "stream_infer_gate_held_seconds_total",
    "counter",
    "Time that the flow gate spent in the states hold and paused.",
    "Its rate is the share of time without room, the saturation of this replica: near 1 for long means add replicas.",
    ("state",),
)
BUFFERED_RECORDS = MetricSpec(
    "stream_infer_buffered_records",
    "gauge",
    "Records between poll and settle.",
    "At flow.max_buffered_records the gate holds.",
)
BUFFERED_BYTES = MetricSpec(
    "stream_infer_buffered_bytes",
    "gauge",
    "Bytes of keys and values between poll and settle.",
    "At flow.max_buffered_bytes the gate holds.",
)
BATCHES_IN_FLIGHT = MetricSpec(
    "stream_infer_batches_in_flight",
    "gauge",
    "Batches dispatched and not yet settled.",
    "Always at scoring.max_in_flight: the scorer is the bottleneck.",
)
REBALANCES = MetricSpec(
    "stream_infer_rebalances_total",
    "counter",
    "Changes of assignment by the consumer group, by kind: assigned, revoked, lost.",
    "lost: this process was thrown out of the group (max.poll.interval.ms, session timeout); its work is repeated.",
    ("kind",),
)
REWINDS = MetricSpec(
    "stream_infer_rewinds_total",
    "counter",
    "Times that owned partitions were rewound to their last commit.",
    "Follows checkpoint_failures with stage publish; work is repeated.",
)
RECORDS_LOST = MetricSpec(
    "stream_infer_records_lost_total",
    "counter",
    'Records that retention deleted before they were read (on_data_loss = "continue").',
    "Raise the topic's retention or add replicas: the service falls behind by more than the topic keeps.",
)
CRASH_SUSPICIONS = MetricSpec(
    "stream_infer_crash_suspicions_total",
    "counter",
    "Partitions whose last owner did not end in order, by level: watch, alone, condemned.",
    "watch: some process was killed; its partitions are read with care for a while, which costs throughput. alone: "
    "killed again at the same place. condemned: one event did it, and went to the dead letters with reason crashed.",
    ("level",),
)
ASSIGNED_PARTITIONS = MetricSpec(
    "stream_infer_assigned_partitions",
    "gauge",
    "Partitions that this process owns.",
    "0 on a replica: it is a standby, there are more replicas than partitions.",
)
CONSUMER_LAG_RECORDS = MetricSpec(
    "stream_infer_consumer_lag_records",
    "gauge",
    "Records between the first unsettled offset and the end of the partition; absent while unknown.",
    "Growing: input exceeds capacity, add replicas up to the number of partitions. One partition only: a hot key.",
    ("topic", "partition"),
)
CONSUMER_LAG_SECONDS = MetricSpec(
    "stream_infer_consumer_lag_seconds",
    "gauge",
    "Age of the oldest unsettled record of the partition, 0 with no lag; absent while unknown.",
    "The lag to alert on. Compare with the topic's retention: events beyond it are lost unread.",
    ("topic", "partition"),
)
MODEL_INFO = MetricSpec(
    "stream_infer_model_info",
    "gauge",
    "1 for each model in force: name, version, and digest of its bundle.",
    "All replicas should agree.",
    ("name", "version", "digest"),
)
BUILD_INFO = MetricSpec(
    "stream_infer_build_info",
    "gauge",
    "1; the service's name, the version of stream_infer, the version of Python.",
    "Join with other metrics by instance to see which build misbehaves.",
    ("service", "version", "python"),
)

METRICS: tuple[MetricSpec, ...] = tuple(value for value in list(globals().values()) if isinstance(value, MetricSpec))
"""All of them, in the order above."""
