"""When too much is rejected: then the input as a whole is wrong, or the model, and dead letters are no answer.

Rule: events count one by one in the order in which they are published, so a verdict does not depend on how they were
cut into batches. The batch that would exceed a cap is not to be published, and therefore is not counted: asked again,
the answer is the same.

What is kept is the position of each reject within the window. A batch without rejects costs a look at its column.
"""

from __future__ import annotations

import numpy as np

from stream_infer.types import BoolArray, Int64Array


class RejectLimit:
    """The two caps on dead letters.

    Args:
        max_consecutive: rejects in a row that are allowed; 0 for any number.
        max_ratio: share of rejects allowed among the last ``window`` events, 0 to 1; 1 for any share. It is judged
            after every event, once ``window`` events were seen.
        window: events.
    """

    def __init__(self, max_consecutive: int, max_ratio: float, window: int) -> None:
        self._max_consecutive = max_consecutive
        self._max_ratio = max_ratio
        self._window = window
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: after a rewind the events come again."""
        self._seen = 0
        self._run = 0
        self._rejects: Int64Array = np.zeros(0, np.int64)

    def excess(self, rejected: BoolArray) -> str | None:
        """Count a batch.

        Args:
            rejected: bool ``[n]``, True for a dead letter. Tombstones and shed events are no rejects.

        Returns:
            A sentence without its full stop where the batch exceeds a cap; None where it is counted.
        """
        count = len(rejected)
        rows = np.flatnonzero(rejected)
        longest, run = self._runs(rows, count)
        if 0 < self._max_consecutive < longest:
            return f"{longest} events in a row were rejected, more than the {self._max_consecutive} allowed"
        rejects = np.concatenate([self._rejects, rows + self._seen]) if len(rows) else self._rejects
        most = self._most(rejects, len(rows), self._seen + count)
        if most / self._window > self._max_ratio:
            return (
                f"{most} of {self._window} events were rejected, more than the {self._max_ratio:.4g} of them that "
                f"is allowed"
            )
        self._seen += count
        self._run = run
        self._rejects = rejects[np.searchsorted(rejects, self._seen - self._window) :]
        return None

    def _runs(self, rows: Int64Array, count: int) -> tuple[int, int]:
        """The longest run of rejects that ends in the batch, and the one that its end leaves open."""
        if len(rows) == 0:
            return 0, self._run if count == 0 else 0
        breaks = np.flatnonzero(np.diff(rows) > 1) + 1
        starts, stops = np.r_[0, breaks], np.r_[breaks, len(rows)]
        lengths = stops - starts
        lengths[0] += self._run if rows[0] == 0 else 0
        return int(lengths.max()), int(lengths[-1]) if rows[-1] == count - 1 else 0

    def _most(self, rejects: Int64Array, added: int, seen: int) -> int:
        """The most rejects of any full window that ends in the batch.

        It grows with a reject only, so the windows that end with one are looked at, and the first full one.
        """
        ends = rejects[len(rejects) - added :]
        if self._seen < self._window <= seen:
            ends = np.r_[self._window - 1, ends]
        ends = ends[ends >= self._window - 1]
        if len(ends) == 0:
            return 0
        first = np.searchsorted(rejects, ends - self._window, side="right")
        return int((np.searchsorted(rejects, ends, side="right") - first).max())
