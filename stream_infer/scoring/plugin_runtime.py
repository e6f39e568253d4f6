"""A model that is no graph: the plug-in that a bundle names, as a `stream_infer.ports.Runtime`.

A plug-in is a function under the entry point group ``stream_infer.runtimes``. It is given the bundle's files and what
the model is fed, and gives back what scores a batch::

    def load(artifact: ModelArtifact) -> Predict:
        weights = np.load(io.BytesIO(artifact.files["weights.npy"]))
        return lambda inputs: (inputs["X"] @ weights).astype(np.float32)

Rule: a plug-in is believed nothing. Its inputs are read-only, its answer is checked and copied at every call, whatever
it raises is a `ModelFailure`, and the golden vectors decide at every start whether it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_infer.bundle import ModelBundle
from stream_infer.bundle.manifest import InputSpec, OutputSpec
from stream_infer.errors import ModelFailure, ModelLoadError, SignatureMismatch

GROUP = "stream_infer.runtimes"

Predict: TypeAlias = Callable[[Mapping[str, npt.NDArray[Any]]], npt.NDArray[Any]]
"""From an array ``[n, ...]`` for each input, read-only, to the score output: ``[n]`` or ``[n, k]``, of the output's
dtype. Row i answers row i, whatever stands beside it. Called from several threads at once, with n from 1 on."""


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """What a plug-in is given: its files by their names, the model's inputs, and the output that is asked for."""

    files: Mapping[str, bytes]
    inputs: tuple[InputSpec, ...]
    output: OutputSpec


LoadModel: TypeAlias = Callable[[ModelArtifact], Predict]
"""What an entry point names. Raises anything where it cannot open the files."""


class PluginRuntime:
    """`stream_infer.ports.Runtime` on a plug-in.

    A call that runs cannot be stopped from outside; the watchdog ends the process instead.

    Args:
        name: of the plug-in, for messages.
        load: the plug-in.
        artifact: the model.

    Raises:
        ModelLoadError: the plug-in cannot open the model.

    Attributes:
        engine: what evaluates the model, for a log.
        remark: a sentence for the log.
    """

    def __init__(self, name: str, load: LoadModel, artifact: ModelArtifact) -> None:
        self.engine = f"runtime {name}"
        self.remark = "the model runs in a plug-in, in Python only"
        self._inputs = artifact.inputs
        self._output = artifact.output
        try:
            self._predict: Predict | None = load(artifact)
        except Exception as error:
            raise ModelLoadError(f"{self.engine} cannot open the model: {_in_words(error)}") from error

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Score n rows.

        Raises:
            ModelFailure: the plug-in raised.
            SignatureMismatch: its answer does not have the shape or the dtype that `bundle.json` says.
        """
        assert self._predict is not None, "a closed model is not run"
        rows = min(len(array) for array in inputs.values())
        if not rows:
            return np.empty((0, *self._output.shape[1:]), self._output.dtype)
        feed = {spec.name: _read_only(inputs[spec.name].reshape(spec.shape)) for spec in self._inputs}
        try:
            output = self._predict(feed)
        except Exception as error:
            # Its words may quote values of the event, so only their kind goes on.
            raise ModelFailure(f"{self.engine} failed with {type(error).__name__}") from error
        self._check(output, rows)
        return output.copy()

    def stop(self) -> None:
        """Has no effect: nobody knows what the plug-in is doing."""

    def close(self) -> None:
        """Free the model. Calls must have ended."""
        self._predict = None

    def _check(self, output: Any, rows: int) -> None:
        wanted = (rows, *self._output.shape[1:])
        if not isinstance(output, np.ndarray):
            raise SignatureMismatch(f"{self.engine} answers with a {type(output).__name__} instead of a numpy array")
        if output.shape != wanted or output.dtype != self._output.dtype:
            raise SignatureMismatch(
                f"{self.engine} answers with {output.dtype} of shape {list(output.shape)} for {rows} rows; expected is "
                f"{self._output.dtype} of shape {list(wanted)}: one row for each row of the input"
            )


def open_plugin(bundle: ModelBundle) -> PluginRuntime:
    """The plug-in that a bundle names, with the bundle's model in it.

    Raises:
        ModelLoadError: it is not installed, installed twice, or cannot open the model.
    """
    manifest = bundle.manifest
    assert manifest.runtime is not None, "a bundle of a graph has no plug-in"
    load = load_entry_point(manifest.runtime.name)
    files = {name: bundle.files[name] for name in manifest.runtime.files}
    return PluginRuntime(manifest.runtime.name, load, ModelArtifact(files, manifest.inputs, manifest.score_output))


def load_entry_point(name: str) -> LoadModel:
    """The plug-in of this name.

    Raises:
        ModelLoadError: there is none, there are several, or it cannot be imported.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise ModelLoadError(f"the model needs the runtime {name!r}, which is not installed here: {_remedy()}")
    if len({entry.value for entry in found}) > 1:
        places = ", ".join(sorted(map(_distribution, found)))
        raise ModelLoadError(f"several packages bring a runtime {name!r} ({places}); uninstall all but one")
    try:
        load: LoadModel = found[0].load()
    except Exception as error:
        raise ModelLoadError(f"the runtime {name!r} cannot be imported: {_in_words(error)}") from error
    return load


def _remedy() -> str:
    known = sorted({entry.name for entry in entry_points(group=GROUP)})
    return f"install the package that brings it (here are: {', '.join(known) or 'none'})"


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _in_words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
