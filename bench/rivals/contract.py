"""What the runner and a rival agree on: a rival is a command that is told its task by environment variables.

Rule: a rival reads ``RIVAL_INPUT`` from the earliest offset, at least once, commits every second, and writes one event
to ``RIVAL_OUTPUT`` for each one it reads, with the same key. It runs until SIGTERM and then ends with code 0.

Avro values begin with five bytes, as Confluent frames them: a zero, then the schema's id as a big-endian int32. What
comes out has an id, a score and a flag; where the events are JSON, it is JSON with an id and a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

Workload = Literal["payment", "floats", "crayfish", "payment_500", "payment_logistic", "payment_mlp", "payment_json"]
WORKLOADS: tuple[Workload, ...] = get_args(Workload)
ID_FIELDS: Mapping[Workload, str] = {
    **dict.fromkeys(WORKLOADS, "transaction_id"),
    "floats": "id",
    "crayfish": "creationTimestamp",
}
"""The field that names an event."""
INPUT_FRAME = b"\x00\x00\x00\x00\x01"
OUTPUT_FRAME = b"\x00\x00\x00\x00\x02"
COMMIT_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """What one run of a rival is to do.

    Attributes:
        model: the ONNX file.
        schema: Avro schema of the input.
        output_schema: Avro schema of the output.
        assets: folder with ``categories.json`` and ``features.json``.
        batch: most events of a call of the model, for rivals that form batches themselves.
        linger_ms: longest wait for such a batch to fill, milliseconds.
    """

    bootstrap: str
    input: str
    output: str
    group: str
    workload: Workload
    model: Path
    schema: Path
    output_schema: Path
    assets: Path
    batch: int = 128
    linger_ms: int = 5

    def to_environment(self) -> dict[str, str]:
        """The variables that tell a rival its task."""
        return {f"RIVAL_{name.upper()}": str(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Self:
        """The task that the variables tell.

        Raises:
            ValueError: a variable is missing, or the workload is unknown.
        """
        missing = [name for name in cls.__dataclass_fields__ if f"RIVAL_{name.upper()}" not in variables]
        if missing:
            raise ValueError(f"not set: {', '.join(f'RIVAL_{name.upper()}' for name in missing)}")
        told = {name: variables[f"RIVAL_{name.upper()}"] for name in cls.__dataclass_fields__}
        if told["workload"] not in WORKLOADS:
            raise ValueError(f"RIVAL_WORKLOAD is {told['workload']!r}; it can be {', '.join(WORKLOADS)}")
        return cls(
            bootstrap=told["bootstrap"],
            input=told["input"],
            output=told["output"],
            group=told["group"],
            workload=told["workload"],
            model=Path(told["model"]),
            schema=Path(told["schema"]),
            output_schema=Path(told["output_schema"]),
            assets=Path(told["assets"]),
            batch=int(told["batch"]),
            linger_ms=int(told["linger_ms"]),
        )
