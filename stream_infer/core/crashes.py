"""Which event kills the process: found by what is committed before it is tried.

Rule: before the first batch of a partition is tried, its committed offset carries the note "running"; an orderly end
takes it away. Whoever is assigned a partition with such a note knows that its last owner died at work, and tries
what that one may have had open with more care, one level up for every unclean end:

    (none)     batches as usual. The owner dies: the next one watches
    WATCH      one batch at a time, everything before it committed, and its range committed as a *trial* before it is
               tried; for as many records as the dead owner can have had open (``watch_records``), but not beyond the
               end that the log has when the watch begins. The owner dies in a trial: its range is tried
    ALONE      one event at a time, each as a trial of its own. The owner dies in one: that event is
    CONDEMNED  rejected undecoded

The notes are metadata of the group's offsets, so they follow a partition to any replica, and outlive every disk.

What follows from it:

1. An event kills at most three times in the whole group: as usual, in a trial of its batch, in its own.
2. An event that kills nobody is condemned only if three owners of its partition were killed by something else: one
   close before it, one in the middle of a batch with it, one while it was tried alone. In doubt it goes to the dead
   letters with its bytes untouched.
3. A level belongs to a note, so finding the same note again gives the same level: whoever dies before it has tried
   anything of a partition changes nothing. No level is left but by committing offsets, so no crash loop is endless.
4. While any split is suspected one batch is open in the process. So a crash is laid at the door of the splits in that
   batch only; of those the innocent ones are cleared by going through their events alone.

A rewind takes back what was settled and not committed, and with it what that had cleared.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from stream_infer.types import Commit, Records, Split, Start

_NONE = -1
_NO_END = 2**63 - 1
_TEXT = re.compile(r"si1 ([rc])(?: w=(\d{1,19}))?(?: a=(\d{1,19}))?(?: t=(\d{1,19}))?", re.ASCII)


class Level(enum.StrEnum):
    """How the events of a suspected split are tried."""

    WATCH = "watch"
    """One batch at a time."""
    ALONE = "alone"
    """One event at a time."""
    CONDEMNED = "condemned"
    """The next event is rejected untried; those after it are tried alone."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a commit says beyond its offset.

    Args:
        running: somebody is at work from this offset on.
        watched: records that still are under watch; 0 for none.
        alone_until: events below this offset are tried one by one; -1 for none.
        trial_end: events from the committed offset to below this one are being tried; -1 for none. A trial within
            ``alone_until`` is that of one event, the last of its range.
    """

    running: bool
    watched: int = 0
    alone_until: int = _NONE
    trial_end: int = _NONE

    def text(self) -> str:
        """The note as it is committed: ``si1 r w=108192 a=12345 t=12346``, 71 ASCII characters at most."""
        parts = ["si1", "r" if self.running else "c"]
        if self.watched:
            parts.append(f"w={self.watched}")
        if self.alone_until != _NONE:
            parts.append(f"a={self.alone_until}")
        if self.trial_end != _NONE:
            parts.append(f"t={self.trial_end}")
        return " ".join(parts)

    @classmethod
    def parse(cls, text: str) -> Note | None:
        """The note that a commit carries; None for no text, and for that of another tool."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        watched, alone_until, trial_end = (_NONE if digits is None else int(digits) for digits in match.groups()[1:])
        if max(watched, alone_until, trial_end) > _NO_END:
            return None
        return cls(match[1] == "r", max(0, watched), alone_until, trial_end)


@dataclass(slots=True)
class _Suspect:
    """What is left to be careful about in one split."""

    watched: int
    watch_end: int
    alone_until: int
    condemned: int
    standing: Commit
    """What the group's offsets say of the split."""
    position: int
    """Next offset that is not settled; -1 where unknown, after a rewind."""
    watched_before: int
    """``watched`` before the last batch that settled: what counts while that batch is not committed."""

    @property
    def level(self) -> Level | None:
        """The care that the next record needs; None once there is nothing left."""
        if self.condemned >= max(self.position, 0):
            return Level.CONDEMNED
        if self.alone_until > self.position:
            return Level.ALONE
        return Level.WATCH if self.watched and self.watch_end > self.position else None

    def note(self, offset: int) -> Note:
        """What a commit at ``offset`` says while the split is worked on."""
        watched = self.watched if offset >= self.position else self.watched_before
        return Note(
            running=True,
            watched=watched if offset < self.watch_end else 0,
            alone_until=self.alone_until if offset < self.alone_until else _NONE,
            trial_end=self.condemned + 1 if offset <= self.condemned else _NONE,
        )

    def wanted(self, committed: int, first: int | None, next_offset: int) -> Commit:
        """What has to stand while a batch is tried whose records here begin at ``first``; None if it has none."""
        note = self.note(committed)
        if first is not None and self._may_kill(first):
            assert next_offset == first + 1 or first >= self.alone_until, "what is tried alone comes alone"
            note = replace(note, trial_end=next_offset)
        return Commit(committed, note.text())

    def _may_kill(self, offset: int) -> bool:
        return offset < self.alone_until or (self.watched > 0 and offset < self.watch_end)

    def settled(self, count: int, next_offset: int) -> None:
        self.watched_before, self.watched = self.watched, max(0, self.watched - count)
        self.position = max(self.position, next_offset)

    def committed(self, offset: int) -> None:
        if offset >= self.position >= 0:
            self.watched_before = self.watched
            if offset > self.standing.offset:
                self.standing = Commit(offset, self.note(offset).text())

    def is_over(self, committed: int) -> bool:
        """True where nothing is left, and no rewind can bring anything back."""
        return self.level is None and committed >= self.position

    def rewound(self) -> None:
        self.watched = self.watched_before
        self.position = _NONE


class CrashWatch:
    """The notes of every owned split: what is committed before records are tried, and what care they need.

    The caller keeps to this, while `careful`: one batch is open at a time, with nothing beside a record of a split
    that is `alone`, and its `marks` are committed after everything before it and before it is tried.

    Args:
        watch_records: records of one split that a process may have read behind its committed offset, at most.
    """

    def __init__(self, watch_records: int) -> None:
        self._watch_records = watch_records
        self._owned: set[Split] = set()
        self._unmarked: set[Split] = set()
        """Owned splits whose commit does not say "running" in this process's name."""
        self._suspects: dict[Split, _Suspect] = {}

    def assigned(self, starts: Mapping[Split, Start]) -> dict[Split, Level]:
        """These splits are owned from now on; returns those that are suspected.

        ``Start.end_offset`` has to be the end of *this* moment: what killed the owner before lies below it.
        """
        self.removed(starts)
        self._owned.update(starts)
        self._unmarked.update(starts)
        levels: dict[Split, Level] = {}
        for split, start in starts.items():
            suspect = self._suspect(start)
            level = None if suspect is None else suspect.level
            if suspect is not None and level is not None:
                self._suspects[split] = suspect
                levels[split] = level
        return levels

    def _suspect(self, start: Start) -> _Suspect | None:
        note = Note.parse(start.note)
        if note is None:
            return None
        suspect = _Suspect(
            watched=note.watched,
            watch_end=start.end_offset if start.end_offset >= 0 else _NO_END,
            alone_until=note.alone_until,
            condemned=_NONE,
            standing=Commit(start.offset, start.note),
            position=start.offset,
            watched_before=0,
        )
        if note.running and note.trial_end <= start.offset:
            # Without a trial it may have been any record that was open, suspected ones or those behind them.
            suspect.watched = self._watch_records
        elif note.running and note.trial_end <= note.alone_until:
            suspect.condemned = note.trial_end - 1
        elif note.running:
            suspect.alone_until = note.trial_end
        suspect.watched_before = suspect.watched
        return suspect

    def removed(self, splits: Iterable[Split]) -> None:
        """These splits are no longer owned."""
        for split in splits:
            self._owned.discard(split)
            self._unmarked.discard(split)
            self._suspects.pop(split, None)

    def rewound(self, renamed: Mapping[Split, Split]) -> None:
        """Splits were rewound to their last commits, under new generations (old -> new)."""
        for old, new in renamed.items():
            for names in (self._owned, self._unmarked):
                if old in names:
                    names.remove(old)
                    names.add(new)
            suspect = self._suspects.pop(old, None)
            if suspect is not None:
                suspect.rewound()
                self._suspects[new] = suspect

    # ------------------------------------------------------------------ trying

    @property
    def careful(self) -> bool:
        """True while any owned split is suspected, and until `marks` has heard that what cleared it is committed.

        Till then its last trial stands, and would be blamed for whatever is tried next.
        """
        return bool(self._suspects)

    def alone(self) -> frozenset[Split]:
        """Owned splits that are tried event by event: a batch has one record of theirs, or none."""
        levels = (Level.ALONE, Level.CONDEMNED)
        return frozenset(split for split, suspect in self._suspects.items() if suspect.level in levels)

    def condemned(self, records: Records) -> bool:
        """True for the one record that must be rejected undecoded (`stream_infer.types.Status.CRASHED`)."""
        if not self._suspects or len(records) != 1:
            return False
        suspect = self._suspects.get(records.split(0))
        return suspect is not None and suspect.condemned == int(records.offset[0])

    def marks(self, records: Records, committed: Mapping[Split, int]) -> dict[Split, Commit]:
        """What has to be committed before ``records`` may be tried; mostly nothing.

        Splits of which nothing was tried yet are marked all at once, for one commit costs as much as another. A trial
        whose records a rewind took away is withdrawn: the process may go on with another split and die of that one.

        Args:
            records: the next batch.
            committed: the committed offset of every owned split, or where reading began.
        """
        if not self._unmarked and not self._suspects:
            return {}
        fresh = self._unmarked.difference(self._suspects).intersection(committed)
        marks = {split: Commit(committed[split], Note(running=True).text()) for split in fresh}
        firsts, next_offsets = records.first_offsets(), records.next_offsets()
        for split, suspect in list(self._suspects.items()):
            suspect.committed(committed[split])
            wanted = suspect.wanted(committed[split], firsts.get(split), next_offsets.get(split, _NONE))
            if wanted != suspect.standing:
                marks[split] = wanted
            elif suspect.is_over(committed[split]):
                del self._suspects[split]
        return marks

    def marked(self, commits: Mapping[Split, Commit]) -> None:
        """These marks are committed now."""
        for split, commit in commits.items():
            self._unmarked.discard(split)
            if split in self._suspects:
                self._suspects[split].standing = commit

    def is_marked(self, split: Split) -> bool:
        """True where this process has committed that it is running, so that an orderly end has to take it back."""
        return split in self._owned and split not in self._unmarked

    def settled(self, counts: Mapping[Split, int], next_offsets: Mapping[Split, int]) -> None:
        """Records were tried, and nobody died.

        Args:
            counts: how many of each split.
            next_offsets: the offset after the last one of each split.
        """
        if self._suspects:
            for split, next_offset in next_offsets.items():
                if split in self._suspects:
                    # A condemned event comes without a mark, and the commit behind it says "running" as well.
                    self._unmarked.discard(split)
                    self._suspects[split].settled(counts[split], next_offset)

    # ------------------------------------------------------------------ notes

    def note(self, split: Split, offset: int) -> str:
        """What an ordinary commit of ``split`` at ``offset`` says."""
        suspect = self._suspects.get(split)
        return (Note(running=True) if suspect is None else suspect.note(offset)).text()

    def farewell(self, split: Split, offset: int) -> str:
        """What the last commit of ``split``, at ``offset``, says when nothing of it is being tried any more.

        Empty where nothing is suspected. Care that is still due is handed on, and so is a condemned event.
        """
        suspect = self._suspects.get(split)
        if suspect is None:
            return ""
        note = suspect.note(offset)
        if note.trial_end != _NONE:
            return note.text()
        due = note.watched > 0 or note.alone_until != _NONE
        return Note(False, note.watched, note.alone_until).text() if due else ""
