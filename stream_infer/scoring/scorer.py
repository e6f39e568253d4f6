"""Records in, scored columns out. Knows no Kafka.

Rule: whatever is wrong with one event is a status in its row and never costs another row its score. A Scorer keeps
nothing of a call, so several threads may use one at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from stream_infer.bundle import ModelBundle
from stream_infer.codecs import AvroDecoder, FixedSchema, JsonDecoder, decode_mappings, decode_table
from stream_infer.ports import Decoder, Runtime
from stream_infer.scoring.inference import Inference
from stream_infer.scoring.tables import bare_records, decode_matrix, table_columns
from stream_infer.scoring.verify import open_model
from stream_infer.types import (
    AvroType,
    BoolArray,
    Decoded,
    Records,
    ScoredColumns,
)

MAX_EVENT_BYTES = 1024 * 1024
"""Longest event of `Scorer.score_bytes`; the default of ``source.max_event_bytes``."""


class Scorer:
    """Scores events with one model: in the pipeline's workers, in a notebook, inside another framework.

    Make one from a bundle with `Scorer.load`; the pipeline passes its own parts instead.

    Args:
        bundle: the model's facts: which output is the score, its classes, its decision.
        decoder: bytes to columns, for `score` and `decode`.
        runtime: the model itself (`stream_infer.scoring.open_model` proves it right).
        threshold: in force instead of the bundle's.
        carry: top-level fields of the event that `score_bytes`, `score_events` and `score_table` bring along.

    Example:
        >>> scorer = Scorer.load(bundle_path)
        >>> scored = scorer.score_events([{"amount": 120.0, "geo": {"lat": 48.1}, "category": "travel"}])
        >>> len(scored), scored.score.dtype.name, bool(scored.flagged[0])
        (1, 'float32', True)
    """

    def __init__(
        self,
        bundle: ModelBundle,
        decoder: Decoder,
        runtime: Runtime,
        *,
        threshold: float | None = None,
        carry: Sequence[str] = (),
    ) -> None:
        self.bundle = bundle
        self._inference = Inference(bundle, runtime, threshold)
        self.identity = self._inference.identity
        self._decoder = decoder
        self._runtime = runtime
        self._projection = bundle.projection(carry)

    @classmethod
    def load(cls, path: str | Path, threshold: float | None = None, carry: Sequence[str] = ()) -> Scorer:
        """Open a bundle, prove that the model answers as it should, and be ready to score.

        Args:
            path: a ``.bundle.jar`` or a bundle's directory.
            threshold: a score from here on is flagged; the bundle's own by default.
            carry: top-level fields of the event to bring along, as `ScoredColumns.carried`.

        Raises:
            ModelLoadError: the bundle is damaged or refused, or fails its golden vectors.

        Example:
            >>> Scorer.load(bundle_path, threshold=0.9).identity.threshold
            0.9
        """
        bundle = ModelBundle.load(path)
        decoder = AvroDecoder(
            bundle.projection(carry), FixedSchema(bundle.input_schema), max_event_bytes=MAX_EVENT_BYTES
        )
        return cls(bundle, decoder, open_model(bundle), threshold=threshold, carry=carry)

    def decode(self, records: Records) -> Decoded:
        """Bytes to columns.

        Raises:
            RegistryUnavailable: a writer's schema cannot be fetched now.
        """
        return self._decoder.decode(records)

    def infer(self, decoded: Decoded, shed: BoolArray | None = None) -> ScoredColumns:
        """Columns to scores and decisions. Only rows whose status is OK reach the model.

        Args:
            decoded: n rows.
            shed: bool ``[n]``: rows that leave unscored, as `Status.SHED`, unless they are rejected anyway.

        Raises:
            ScoreTimeout: a model call was stopped.
            SignatureMismatch: the model's answer has not one row per input row.
        """
        return self._inference(decoded, shed)

    def score(self, records: Records, shed: BoolArray | None = None) -> ScoredColumns:
        """`decode`, then `infer`."""
        return self.infer(self.decode(records), shed)

    def score_bytes(self, values: Sequence[bytes | None], codec: str | AvroType = "json") -> ScoredColumns:
        """Score encoded events.

        Args:
            values: one event each; None is a tombstone.
            codec: ``"json"``, or the Avro schema that the events (bare, without framing) were written with.

        Example:
            >>> from stream_infer.types import Status
            >>> scored = Scorer.load(bundle_path).score_bytes([b'{"amount": 9, "category": "grocery"}', b"{"])
            >>> [Status(status).reason for status in scored.status]
            ['ok', 'truncated']
        """
        decoder: Decoder
        if codec == "json":
            decoder = JsonDecoder(self._projection, max_event_bytes=MAX_EVENT_BYTES)
        else:
            decoder = AvroDecoder(self._projection, FixedSchema(codec), max_event_bytes=MAX_EVENT_BYTES)
        return self._inference(decoder.decode(bare_records(values)))

    def score_events(self, events: Sequence[Mapping[str, Any]]) -> ScoredColumns:
        """Score events given as dicts, by the same rules as encoded ones.

        Example:
            >>> from stream_infer.types import Status
            >>> scored = Scorer.load(bundle_path).score_events([{"amount": 1.0}, {"amount": "one"}])
            >>> [Status(status).reason for status in scored.status]
            ['ok', 'wrong_type']
        """
        return self._inference(decode_mappings(self._projection, events))

    def score_table(self, table: Any) -> ScoredColumns:
        """Score the rows of a table by its columns' names.

        Args:
            table: a ``pandas.DataFrame`` or ``pyarrow.Table``. A nested field is a column ``geo.lat``, or a field of a
                column ``geo`` of records; NaN, NaT and null are missing values.

        Raises:
            UsageError: ``table`` is neither, or has no column.

        Example:
            >>> import pandas
            >>> frame = pandas.DataFrame({"amount": [1.0, 250.0], "category": ["grocery", "travel"]})
            >>> Scorer.load(bundle_path).score_table(frame).score.shape
            (2,)
        """
        return self._inference(decode_table(self._projection, table_columns(table)))

    def score_matrix(self, cells: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> ScoredColumns:
        """Score rows of model inputs: the cells themselves, after categories, offset and scale.

        Args:
            cells: ``[n, cells]`` for a model of one input, else a mapping of every input's name to such an array.
                Numbers are cast to the input's dtype once; NaN is a missing value. A row with an infinite value is
                rejected (`Status.NOT_FINITE`).

        Raises:
            UsageError: an input is absent, or an array does not have the input's shape or type.

        Example:
            >>> import numpy
            >>> scored = Scorer.load(bundle_path).score_matrix(numpy.array([[120.0, 48.1, 1.0], [3.0, 0.0, 0.0]]))
            >>> scored.flagged.tolist()
            [True, False]
        """
        return self._inference(decode_matrix(self._projection.inputs, cells))

    def close(self) -> None:
        """Free the model."""
        self._runtime.close()
