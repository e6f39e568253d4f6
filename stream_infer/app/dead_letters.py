"""``dlq list|show|resend``: what lies in the dead letters of a config, and back to the input with it.

Rule: `fate` alone decides what becomes of a dead letter. Listing and showing leave no trace. Sending back is planned
first, by a pass that changes nothing, and remembered in the transaction that sends
(`stream_infer.kafka.dead_letter_sender`).
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stream_infer.app import assembly
from stream_infer.clock import SystemClock
from stream_infer.config.model import Config
from stream_infer.config.options import (
    DeadLetterDetails,
    DeadLetterGroup,
    DeadLetterSelection,
    ResendOptions,
    ResendReport,
)
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.dead_letter_progress import SentBack
from stream_infer.kafka.dead_letter_reader import DeadLetter, DeadLetterReader
from stream_infer.kafka.dead_letter_sender import TRANSACTION_TIMEOUT_MS, DeadLetterSender
from stream_infer.kafka.dead_letters import ATTEMPTS_HEADER, original_headers
from stream_infer.kafka.properties import Transaction, consumer_properties, producer_properties

_CONNECT_TIMEOUT_S = 10.0
_PUBLISH_TIMEOUT_S = 30.0
_MAX_GROUPS = 1000
"""Other tools may write any number of reasons; what comes after this many is one group."""
_OTHER = "other"
Confirm = Callable[[ResendReport], bool]


class Fate(enum.Enum):
    """What `dead_letters_resend` does with a dead letter."""

    SEND = "send"
    NOT_SELECTED = "not selected"
    SENT_BEFORE = "sent before"
    NO_INPUT = "no input"
    TRIED_TOO_OFTEN = "tried too often"


def fate(letter: DeadLetter, options: ResendOptions, topics: Collection[str], sent_back: SentBack) -> Fate:
    """What becomes of one dead letter.

    Args:
        letter: the dead letter.
        options: what is wanted.
        topics: the input topics of the service.
        sent_back: what is remembered of the letter's partition.
    """
    if not selects(options.selection, letter):
        return Fate.NOT_SELECTED
    if letter.offset in sent_back and not options.again:
        return Fate.SENT_BEFORE
    if letter.verdict.topic not in topics:
        return Fate.NO_INPUT
    return Fate.TRIED_TOO_OFTEN if letter.verdict.attempts >= options.max_attempts else Fate.SEND


def selects(selection: DeadLetterSelection, letter: DeadLetter) -> bool:
    """True where the letter meets every condition."""
    if selection.reasons and letter.verdict.reason not in selection.reasons:
        return False
    if selection.since_ms is not None and letter.failed_at_ms < selection.since_ms:
        return False
    if selection.until_ms is not None and letter.failed_at_ms >= selection.until_ms:
        return False
    return not selection.only or (letter.partition, letter.offset) in selection.only


# ------------------------------------------------------------------ list, show


def dead_letters_list(config: Config, selection: DeadLetterSelection) -> list[DeadLetterGroup]:
    """The selected dead letters by reason and stage, most frequent first.

    Raises:
        StreamInferError: the topic or the broker is not there.
    """
    with _reader(config, _connected(config), config.source.group_id) as reader:
        return summarise(letter for letter in reader.read(reader.ends()) if selects(selection, letter))


def summarise(letters: Iterable[DeadLetter]) -> list[DeadLetterGroup]:
    """Dead letters by reason and stage, most frequent first."""
    found: dict[tuple[str, str], _Tally] = {}
    for letter in letters:
        name = (letter.verdict.reason, letter.verdict.stage)
        if name not in found and len(found) >= _MAX_GROUPS:
            name = (_OTHER, "")
        found.setdefault(name, _Tally()).add(letter)
    groups = [tally.group(reason, stage) for (reason, stage), tally in found.items()]
    return sorted(groups, key=lambda group: (-group.count, group.reason, group.stage))


@dataclass(slots=True)
class _Tally:
    count: int = 0
    first_ms: int = -1
    last_ms: int = -1
    topics: set[str] = field(default_factory=set)
    example: tuple[int, int] = (0, 0)

    def add(self, letter: DeadLetter) -> None:
        at_ms = letter.failed_at_ms
        self.count += 1
        if at_ms >= 0:
            self.first_ms = at_ms if self.first_ms < 0 else min(self.first_ms, at_ms)
        if at_ms >= self.last_ms:
            self.last_ms, self.example = at_ms, (letter.partition, letter.offset)
        if letter.verdict.topic and len(self.topics) < _MAX_GROUPS:
            self.topics.add(letter.verdict.topic)

    def group(self, reason: str, stage: str) -> DeadLetterGroup:
        topics = tuple(sorted(self.topics))
        return DeadLetterGroup(reason, stage, self.count, self.first_ms, self.last_ms, topics, self.example)


def dead_letters_at(config: Config, partition: int, offset: int) -> list[DeadLetterDetails]:
    """The dead letter at this place of the dead-letter topic; empty where there is none.

    Raises:
        StreamInferError: the topic or the broker is not there.
    """
    with _reader(config, _connected(config), config.source.group_id) as reader:
        letter = reader.at(partition, offset)
    return [details(letter)] if letter else []


def dead_letters_of(config: Config, topic: str, partition: int, offset: int) -> list[DeadLetterDetails]:
    """The dead letters of this event of an input topic: more than one where the event was read more than once.

    Raises:
        StreamInferError: the topic or the broker is not there.
    """
    wanted = (topic, partition, offset)
    with _reader(config, _connected(config), config.source.group_id) as reader:
        letters = reader.read(reader.ends())
        return [details(letter) for letter in letters if _origin(letter) == wanted]


def details(letter: DeadLetter) -> DeadLetterDetails:
    """A dead letter as it is shown."""
    said = letter.verdict
    facts: dict[str, str | int | None] = {
        "reason": said.reason,
        "stage": said.stage or None,
        "message": said.message or None,
        "input_topic": said.topic,
        "input_partition": said.partition,
        "input_offset": said.offset,
        "timestamp_ms": letter.timestamp_ms if said.timestamp_ms is None else said.timestamp_ms,
        "failed_at_ms": said.failed_at_ms,
        "attempts": said.attempts,
        "group": said.group or None,
        "model": said.model or None,
        "style": said.style,
    }
    headers = tuple((name, _as_bytes(value)) for name, value in original_headers(letter.headers))
    return DeadLetterDetails((letter.partition, letter.offset), facts, headers, letter.key, letter.value)


def _origin(letter: DeadLetter) -> tuple[str | None, int | None, int | None]:
    return letter.verdict.topic, letter.verdict.partition, letter.verdict.offset


def _as_bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


# ------------------------------------------------------------------ resend


def dead_letters_resend(
    config: Config, options: ResendOptions, confirm: Confirm | None = None, *, dry_run: bool = False
) -> ResendReport:
    """Send dead letters back to the topics that they came from, as they were.

    Each event gets its original key, value, headers and timestamp and, where it still exists, its partition; one header
    more says how often it was tried.

    Args:
        config: names the dead letters and the input.
        options: which.
        confirm: asked with the plan before anything is sent; None: not asked.
        dry_run: only plan.

    Returns:
        What was sent. With ``dry_run`` or a refusal, what would have been.

    Raises:
        StreamInferError: a topic or the broker is not there, or sending failed; what was sent until then stays sent
            and is remembered.
    """
    admin = _connected(config)
    group_id = f"{config.source.group_id}.dlq-resend"
    with _reader(config, admin, group_id) as reader:
        resend = _Resend(config, options, admin, reader)
        if dry_run or confirm:
            plan = resend.plan()
            if dry_run or not plan.total or (confirm and not confirm(plan)):
                return plan
        properties = producer_properties(
            config.kafka.bootstrap_servers,
            config.kafka.client,
            client_id=config.name,
            publish_timeout_s=_PUBLISH_TIMEOUT_S,
            transaction=Transaction(group_id, TRANSACTION_TIMEOUT_MS),
        )
        with DeadLetterSender(properties, reader.topic, reader.consumer, SystemClock()) as sender:
            return resend.send(sender)


class _Resend:
    """One call of ``dlq resend``: the letters up to the end that stood there when it began."""

    def __init__(self, config: Config, options: ResendOptions, admin: KafkaAdmin, reader: DeadLetterReader) -> None:
        self._options = options
        self._reader = reader
        self._partitions = {name: info.partitions for name, info in admin.require_topics(config.source.topics).items()}
        self._ends = reader.ends()

    def plan(self) -> ResendReport:
        """What would be sent."""
        counts = _Counts()
        for _ in self._letters(self._reader.sent_back(self._ends), counts):
            pass
        return counts.report()

    def send(self, sender: DeadLetterSender) -> ResendReport:
        """Send, a transaction at a time."""
        counts = _Counts()
        memory = self._reader.sent_back(self._ends)
        fresh: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for letter, gone in self._letters(dict(memory), counts):
            self._send(sender, letter)
            fresh[letter.partition].append(gone)
            if sender.full:
                _commit(sender, memory, fresh)
        _commit(sender, memory, fresh)
        return counts.report()

    def _letters(self, memory: Mapping[int, SentBack], counts: _Counts) -> Iterator[tuple[DeadLetter, tuple[int, int]]]:
        """Those to be sent, each with the range of offsets from behind the letter before it to behind itself.

        Between two letters lie at most markers of transactions. With them in the ranges, neighbours join up.
        """
        behind: dict[int, int] = dict.fromkeys(self._ends, 0)
        for letter in self._reader.read(self._ends):
            found = fate(letter, self._options, self._partitions, memory[letter.partition])
            counts.add(letter, found)
            if found is Fate.SEND:
                yield letter, (behind[letter.partition], letter.offset + 1)
                if counts.sent_total == self._options.max_count:
                    return
            behind[letter.partition] = letter.offset + 1

    def _send(self, sender: DeadLetterSender, letter: DeadLetter) -> None:
        said = letter.verdict
        assert said.topic is not None, "as fate() says"
        partition = -1 if said.partition is None else said.partition
        headers = original_headers(letter.headers)
        headers.append((ATTEMPTS_HEADER, str(said.attempts).encode()))
        timestamp_ms = letter.timestamp_ms if said.timestamp_ms is None else said.timestamp_ms
        known = partition < self._partitions[said.topic]
        sender.send(said.topic, partition if known else -1, letter.key, letter.value, headers, timestamp_ms)


class _Counts:
    """How many letters met which fate."""

    def __init__(self) -> None:
        self._fates: Counter[Fate] = Counter()
        self._sent: Counter[str] = Counter()

    @property
    def sent_total(self) -> int:
        return self._fates[Fate.SEND]

    def add(self, letter: DeadLetter, found: Fate) -> None:
        self._fates[found] += 1
        if found is Fate.SEND:
            self._sent[letter.verdict.topic or ""] += 1

    def report(self) -> ResendReport:
        return ResendReport(
            dict(self._sent),
            sent_before=self._fates[Fate.SENT_BEFORE],
            tried_too_often=self._fates[Fate.TRIED_TOO_OFTEN],
            no_input=self._fates[Fate.NO_INPUT],
            not_selected=self._fates[Fate.NOT_SELECTED],
        )


def _commit(sender: DeadLetterSender, memory: dict[int, SentBack], fresh: dict[int, list[tuple[int, int]]]) -> None:
    changed = {number: memory[number].including(ranges) for number, ranges in fresh.items()}
    sender.commit(changed)
    memory |= changed
    fresh.clear()


def _connected(config: Config) -> KafkaAdmin:
    admin = assembly.admin(config, SystemClock())
    admin.wait_ready(_CONNECT_TIMEOUT_S, patient=False)
    return admin


def _reader(config: Config, admin: KafkaAdmin, group_id: str) -> DeadLetterReader:
    properties = consumer_properties(
        config.kafka.bootstrap_servers, config.kafka.client, client_id=config.name, group_id=group_id
    )
    return DeadLetterReader(properties, admin, config.dead_letter.topic, SystemClock())
