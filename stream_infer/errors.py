"""Every error of stream_infer, named by what the pipeline does about it.

    StreamInferError
      ConfigError          before start; every problem of the file at once; exit 78
      UsageError           a command was called in a way that cannot work; exit 2
      RetriableError       bad weather: hold, back off, offsets unmoved, try again
        SourceUnavailable    broker not reachable, or a fetch that fails for now
        SinkUnavailable      a scored event or dead letter was not acknowledged in time
        RegistryUnavailable  no answer from the schema registry
        CommitFailed         offsets not committed in time
        ScoreTimeout         a model call was stopped at its deadline
      FatalError           stop without committing; exit 1
        ModelLoadError       the bundle is damaged, refused, or fails its golden vectors
          SignatureMismatch    the graph's inputs or outputs are not what bundle.json says
        NotAuthorized        the broker or registry refuses these credentials or this operation
        TopicMissing         a topic of the config does not exist
        DataLoss             a committed offset was deleted by retention and on_data_loss = "fail"
        Fenced               another instance has taken this one's place
        TooManyRejects       more dead letters than dead_letter.max_consecutive or max_ratio allow
        RetriesExhausted     a stage failed for longer than timeouts.retry_seconds
        Stuck                a stage did not end in time and cannot be stopped
      ExportRefused        a model cannot be exported as it is; exit 1

Bad data is never an exception: it is a `stream_infer.types.Status` in a column. One exception inside a
batch is: `ModelFailure`, by which a runtime says that the batch as a whole failed; the scorer bisects it.
Messages name the thing, the place and the remedy; they never hold a payload or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class StreamInferError(Exception):
    """Base of all errors of this package."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong with a config file: ``path`` such as ``batching.linger_ms``, ``line`` from 1 or None."""

    path: str
    message: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.path}: {self.message}{hint}"


class ConfigError(StreamInferError):
    """The configuration is wrong. ``problems`` holds every problem found, in file order."""

    exit_code = 78

    def __init__(self, problems: Sequence[ConfigProblem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        heading = f"{source}: " if source else ""
        count = len(self.problems)
        lines = [f"{heading}{count} problem{'s' if count != 1 else ''}", *(f"  {p}" for p in self.problems)]
        super().__init__("\n".join(lines))


class UsageError(StreamInferError):
    """A command was called with arguments that cannot work together."""

    exit_code = 2


class RetriableError(StreamInferError):
    """Bad weather. The pipeline holds, backs off and tries again; offsets stay where they are.

    ``stage`` is the name used in metrics and logs: ``poll``, ``decode``, ``score``, ``publish``, ``commit``,
    ``registry``.
    """

    stage = "unknown"


class SourceUnavailable(RetriableError):
    """The source cannot be reached or read right now."""

    stage = "poll"


class SinkUnavailable(RetriableError):
    """Something published was not acknowledged; the checkpoint fails."""

    stage = "publish"


class RegistryUnavailable(RetriableError):
    """The schema registry gave no usable answer."""

    stage = "registry"


class CommitFailed(RetriableError):
    """Offsets were not committed in time, or refused for now."""

    stage = "commit"


class ScoreTimeout(RetriableError):
    """A model call was stopped at ``timeouts.score_seconds``."""

    stage = "score"


class FatalError(StreamInferError):
    """Stop without committing anything more."""


class ModelLoadError(FatalError):
    """The model bundle cannot be used."""


class SignatureMismatch(ModelLoadError):
    """The graph's inputs or outputs differ from what ``bundle.json`` says."""


class NotAuthorized(FatalError):
    """Authentication or authorisation was refused."""


class TopicMissing(FatalError):
    """A topic named in the config does not exist."""


class DataLoss(FatalError):
    """A committed offset no longer exists on the broker."""


class Fenced(FatalError):
    """Another instance has taken over this one's identity."""


class TooManyRejects(FatalError):
    """Events are rejected at a rate at which the input as a whole must be wrong, or the model."""


class RetriesExhausted(FatalError):
    """A stage was retried for as long as it may be."""


class Stuck(FatalError):
    """A stage did not end at its timeout and cannot be stopped from inside."""


class ExportRefused(StreamInferError):
    """A model cannot be exported; the message names what is in the way and the next best route."""


class ModelFailure(Exception):
    """A runtime's word that a call failed as a whole. Not for users: the scorer bisects the batch."""
