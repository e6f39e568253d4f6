"""A model in ONNX Runtime, set up so that a score never depends on the company a row is in.

Rules, each of which once cost somebody a bug:

- One thread inside a call. With more, the last bits of a tree model's score depend on the batch size; spinning threads
  burn a core besides. Scale by worker threads: a session is called from several at once.
- Never one row. Linear models take another kernel for it, which differs in the last bits: pad to two, drop the second.
- Ask for the score's output only. A ZipMap that nobody asked for is never computed.
- Bounded rows per call, since a call on a graph of one node (a tree ensemble) cannot be stopped from outside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from stream_infer.bundle.manifest import InputSpec, OutputSpec
from stream_infer.errors import ModelFailure, ModelLoadError, ScoreTimeout, SignatureMismatch
from stream_infer.scoring.signature import fixed_batch_rows

MAX_ROWS_PER_CALL = 8192
"""Most rows of one call: a tenth of a second even for a large tree ensemble (10 microseconds a row)."""

MIN_ROWS_PER_CALL = 2

CPU = ("CPUExecutionProvider",)

_SILENT = 4
"""Log severity FATAL: the runtime's own error lines on stderr quote values of events."""

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(_state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,  # what the binding raises of C++ exceptions it has no class for
    ValueError,  # text that is not valid Unicode
)


class OnnxRuntime:
    """`stream_infer.ports.Runtime` on ONNX Runtime.

    Args:
        model: the bytes of the graph, or its path where its tensors lie in other files.
        inputs: what the graph is fed.
        output: what it is asked for.
        providers: ONNX Runtime's execution providers, in order of preference.

    Raises:
        ModelLoadError: the runtime refuses the graph, or does not have a provider.
        SignatureMismatch: the graph's inputs or output are other than ``inputs`` and ``output``.

    Attributes:
        inputs: as given.
        output: as given.
        providers: as given.
        engine: what evaluates the model, for a log.
        remark: why no other engine does, in a sentence; empty where nobody has asked.
    """

    engine = "ONNX Runtime"

    def __init__(
        self,
        model: bytes | Path,
        inputs: Sequence[InputSpec],
        output: OutputSpec,
        *,
        providers: Sequence[str] = CPU,
    ) -> None:
        self.remark = ""
        self.providers = tuple(providers)
        self.inputs = tuple(inputs)
        self.output = output
        self._session: ort.InferenceSession | None = open_session(model, providers)
        self._fixed_rows = fixed_batch_rows(self._session.get_inputs(), self._session.get_outputs(), inputs, output)
        self._running: set[ort.RunOptions] = set()
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Score n rows: float32 or float64, ``[n]`` or ``[n, k]``.

        Args:
            inputs: an array ``[n, cells]`` for each input of the model.

        Raises:
            ModelFailure: the runtime failed on these rows.
            ScoreTimeout: the call was ended by `stop`.
            SignatureMismatch: the answer has not one row per input row.
        """
        tensors = {spec.name: inputs[spec.name].reshape(spec.shape) for spec in self.inputs}
        rows = min(map(len, tensors.values()))
        step = self._fixed_rows or MAX_ROWS_PER_CALL
        with self._stoppable() as options:
            parts = [self._run_part(tensors, start, min(step, rows - start), options) for start in range(0, rows, step)]
        return parts[0] if len(parts) == 1 else np.concatenate([self._no_rows(), *parts])

    def stop(self) -> None:
        """End the running calls at the next node of their graph; a call on a graph of one node runs to its end."""
        with self._lock:
            for options in self._running:
                options.terminate = True

    def close(self) -> None:
        """Free the model. Calls must have ended."""
        self._session = None

    def _run_part(
        self, tensors: Mapping[str, npt.NDArray[Any]], start: int, rows: int, options: ort.RunOptions
    ) -> npt.NDArray[Any]:
        call_rows = self._fixed_rows or max(rows, MIN_ROWS_PER_CALL)
        feed = {name: _pad(tensor[start : start + rows], call_rows) for name, tensor in tensors.items()}
        output = self._call(feed, rows, options)
        self._check_rows(output, call_rows)
        return output[:rows]

    def _call(self, feed: Mapping[str, npt.NDArray[Any]], rows: int, options: ort.RunOptions) -> npt.NDArray[Any]:
        assert self._session is not None, "a closed model is not run"
        if options.terminate:
            raise ScoreTimeout("a model call was stopped between two parts of its batch")
        try:
            output: npt.NDArray[Any] = self._session.run([self.output.name], feed, options)[0]
        except RUNTIME_ERRORS as error:
            if options.terminate:
                raise ScoreTimeout(f"a model call on {rows} rows was stopped at its deadline") from error
            # The runtime's own words quote values of the event, so only their kind goes on.
            raise ModelFailure(f"the model failed with {type(error).__name__}") from error
        return output

    def _check_rows(self, output: npt.NDArray[Any], rows: int) -> None:
        shape = tuple(np.shape(output))
        if len(shape) != len(self.output.shape) or shape[0] != rows or shape[1:] != self.output.shape[1:]:
            raise SignatureMismatch(
                f"output {self.output.name!r} has shape {list(shape)} for {rows} rows; expected is one row per input "
                f"row, {[rows, *self.output.shape[1:]]}: export the graph without a reduction over the batch"
            )

    def _no_rows(self) -> npt.NDArray[Any]:
        return np.empty((0, *self.output.shape[1:]), self.output.dtype)

    @contextmanager
    def _stoppable(self) -> Iterator[ort.RunOptions]:
        options = ort.RunOptions()
        options.log_severity_level = _SILENT
        with self._lock:
            self._running.add(options)
        try:
            yield options
        finally:
            with self._lock:
                self._running.discard(options)


def available_providers() -> list[str]:
    """The execution providers that this build of ONNX Runtime has."""
    names: list[str] = ort.get_available_providers()
    return names


def open_session(model: bytes | Path, providers: Sequence[str] = CPU) -> ort.InferenceSession:
    """A session with the settings that this module's rules ask for.

    Raises:
        ModelLoadError: the runtime refuses the graph, or does not have a provider: left to itself it would do without.
    """
    _require(providers, available_providers(), "does not have")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _SILENT
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    try:
        session = ort.InferenceSession(source, options, providers=list(providers))
    except RUNTIME_ERRORS as error:
        raise ModelLoadError(f"ONNX Runtime {ort.__version__} refuses the graph: {_first_line(error)}") from error
    _require(providers, session.get_providers(), "could not start")
    return session


def _require(providers: Sequence[str], found: Sequence[str], failed: str) -> None:
    if missing := [name for name in providers if name not in found]:
        raise ModelLoadError(
            f"ONNX Runtime {ort.__version__} {failed} the execution provider {missing[0]}: install what it needs, or "
            f"choose from {', '.join(available_providers())}"
        )


def _pad(tensor: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """The tensor with its last row repeated until there are ``rows``."""
    missing = rows - len(tensor)
    if not missing:
        return tensor
    return np.concatenate([tensor, np.repeat(tensor[-1:], missing, axis=0)])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
