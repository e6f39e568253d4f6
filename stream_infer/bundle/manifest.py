"""`bundle.json` as values: the only authority on what a model expects and answers.

Rule: a `Manifest` that `parse_manifest` has returned is complete and consistent in itself. Unknown keys are ignored, so
that a later minor version can add some; an unknown major version is refused before anything else is looked at. What the
manifest says of other files is checked where those files are read (`stream_infer.bundle.reader`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stream_infer.errors import ModelLoadError
from stream_infer.projection import Feature, ModelInput

FORMAT_VERSION = "1.0"
PLUGIN_FORMAT_VERSION = "1.1"
"""Of a bundle whose model is no graph but a plug-in's own: what reads 1.0 only refuses it."""
MANIFEST_FILE = "bundle.json"
MODEL_FILE = "model.onnx"
INPUT_SCHEMA_FILE = "schema/input.avsc"
GOLDEN_INPUT_FILE = "golden/input.avro"
GOLDEN_RECORDS_FILE = "golden/records.avro"
GOLDEN_EXPECTED_FILE = "golden/expected.avro"
PROFILE_FILE = "reference/profile.json"
REQUIRED_FILES = (INPUT_SCHEMA_FILE, GOLDEN_INPUT_FILE, GOLDEN_EXPECTED_FILE)

Dtype = Literal["float32", "float64", "int64", "string"]
ClassLabel = int | str
Name = Annotated[str, Meta(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
NonNegative = Annotated[int, Meta(ge=0)]


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of every object of the manifest: immutable; keys that hold their default are not written."""


class ModelInfo(Part, frozen=True):
    """What the model is called. ``name`` is also the folder under ``META-INF/stream-infer/``."""

    name: Name
    version: Annotated[str, Meta(min_length=1)]
    description: str = ""
    license: str = ""


class OnnxInfo(Part, frozen=True):
    """Facts of the graph: opset version per domain, IR version, operators, and the oldest runtime that loads it."""

    file: str
    opset: dict[str, int]
    ir: int
    min_onnxruntime: Annotated[str, Meta(pattern=r"^\d+\.\d+(\.\d+)?$")]
    ops: tuple[str, ...]
    contrib_ops: Annotated[bool, Meta(description="ONNX Runtime's own operators (com.microsoft) are allowed.")] = False


class RuntimeInfo(Part, frozen=True):
    """A plug-in that runs the model, in Python only, and the files that it opens. Such a bundle is not exportable."""

    name: Name
    files: Annotated[tuple[str, ...], Meta(min_length=1)]


class MissingValue(Part, frozen=True):
    """The value that stands in for an absent field, a null or a NaN. It is the cell itself: no offset or scale."""

    value: float | int | str


class FeatureSpec(Part, frozen=True, kw_only=True):
    """How a field of the event fills cells of an input; the rules are those of `stream_infer.types.Feature`."""

    name: Annotated[str, Meta(min_length=1)]
    path: Annotated[str, Meta(min_length=1)]
    missing: Literal["nan", "error"] | MissingValue
    offset: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None
    unseen: int | Literal["error"] = -1
    length: Annotated[int, Meta(ge=1)] = 1
    format: Literal["array", "csv"] | None = None

    def to_feature(self) -> Feature:
        """The same as the decoders' value."""
        stands_in = self.missing.value if isinstance(self.missing, MissingValue) else None
        return Feature(
            name=self.name,
            path=self.path,
            missing="value" if isinstance(self.missing, MissingValue) else self.missing,
            missing_value=stands_in,
            offset=self.offset,
            scale=self.scale,
            categories=self.categories,
            unseen=self.unseen,
            length=self.length,
            format=self.format,
        )


class InputSpec(Part, frozen=True):
    """One input tensor. ``shape`` is ``[-1, ...]``: -1 is the batch; the other dimensions hold the features' cells."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    features: tuple[FeatureSpec, ...]

    @property
    def width(self) -> int:
        """Cells of one row, as the features fill them."""
        return sum(feature.length for feature in self.features)

    def to_input(self) -> ModelInput:
        """The same as the decoders' value."""
        return ModelInput(self.name, self.dtype, tuple(feature.to_feature() for feature in self.features))


class OutputSpec(Part, frozen=True):
    """One output tensor: ``[-1]``, ``[-1, 1]`` or ``[-1, k]``."""

    name: str
    dtype: Literal["float32", "float64"]
    shape: tuple[int, ...]
    role: Literal["score", "probabilities"]

    @property
    def columns(self) -> int | None:
        """K of ``[-1, k]``; None for ``[-1]``."""
        return self.shape[1] if len(self.shape) == 2 else None


class ScoreRef(Part, frozen=True):
    """Which number is the score: an output, and a column of it (None for an output of one dimension)."""

    output: str
    column: NonNegative | None = None


class Decision(Part, frozen=True, omit_defaults=False):
    """An event is flagged where ``rint(score * 10^d) >= rint(threshold * 10^d)``, ``d = round_decimals``."""

    threshold: float
    round_decimals: Annotated[int, Meta(ge=0, le=15)] = 6


class GoldenInfo(Part, frozen=True, kw_only=True, omit_defaults=False):
    """The golden vectors: how many, and how far from the expected score a runtime may be."""

    rows: Annotated[int, Meta(ge=1, le=100_000)]
    rtol: Annotated[float, Meta(ge=0, le=1)] = 1e-5
    atol: Annotated[float, Meta(ge=0, le=1)] = 1e-6
    onnxruntime: str


class Parity(Part, frozen=True):
    """How far the graph is from the model it was converted from: rows compared, largest difference, flags changed."""

    source: str
    rows: NonNegative
    max_abs: float
    flips: NonNegative


class Provenance(Part, frozen=True):
    """Where the bundle comes from. ``created`` is ISO 8601 UTC, from SOURCE_DATE_EPOCH only."""

    packages: dict[str, str] = {}
    training_data: str = ""
    run_id: str = ""
    created: str | None = None


class FileEntry(Part, frozen=True):
    """Checksum and size in bytes of one file of the bundle."""

    sha256: Sha256
    size: NonNegative


class Manifest(Part, frozen=True, kw_only=True):
    """`bundle.json`, format 1.x. The model is either ``onnx`` or ``runtime``."""

    format_version: str
    model: ModelInfo
    onnx: OnnxInfo | None = None
    runtime: RuntimeInfo | None = None
    inputs: Annotated[tuple[InputSpec, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[OutputSpec, ...], Meta(min_length=1)]
    score: ScoreRef
    classes: tuple[ClassLabel, ...] = ()
    decision: Decision
    golden: GoldenInfo
    parity: Parity | None = None
    provenance: Provenance = Provenance()
    files: dict[str, FileEntry]

    @property
    def graph(self) -> OnnxInfo:
        """The graph's facts, of a bundle that has a graph."""
        assert self.onnx is not None, "a bundle of a plug-in has no graph"
        return self.onnx

    @property
    def model_files(self) -> tuple[str, ...]:
        """The files that are the model itself."""
        return self.runtime.files if self.runtime else (self.graph.file,)

    @property
    def score_output(self) -> OutputSpec:
        """The output that holds the score."""
        return next(output for output in self.outputs if output.name == self.score.output)

    @property
    def multi_class(self) -> bool:
        """True where the model tells more than two classes apart, so that all probabilities are published."""
        return len(self.classes) > 2


class _Version(msgspec.Struct):
    format_version: str


def parse_manifest(data: bytes, source: str) -> Manifest:
    """Read `bundle.json`.

    Args:
        data: its bytes.
        source: the bundle's path, for messages.

    Raises:
        ModelLoadError: not JSON, not of this format version, or not consistent; every inconsistency is named.
    """
    place = f"{source}: {MANIFEST_FILE}"
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
            raise ModelLoadError(
                f"{place} has format version {version!r}; this release reads 1.x: install a release of stream_infer "
                "that reads it, or export the model again"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise ModelLoadError(f"{place} is not valid: {error}; export the model again") from error
    if problems := list(manifest_problems(manifest)):
        raise ModelLoadError(f"{place} is not consistent: {'; '.join(problems)}; export the model again")
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of `bundle.json`: UTF-8, two spaces of indentation, a newline at the end; the same bytes every time."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2) + b"\n"


def with_files(manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """The manifest with size and checksum of each of ``files``."""
    entries = {name: FileEntry(hashlib.sha256(files[name]).hexdigest(), len(files[name])) for name in sorted(files)}
    return msgspec.structs.replace(manifest, files=entries)


def manifest_problems(manifest: Manifest) -> Iterator[str]:
    """Everything about the manifest that its types alone don't rule out, one sentence each."""
    yield from _file_problems(manifest)
    yield from _duplicates("input", [spec.name for spec in manifest.inputs])
    yield from _duplicates("output", [output.name for output in manifest.outputs])
    for spec in manifest.inputs:
        yield from input_problems(spec)
    yield from _score_problems(manifest)


def input_problems(spec: InputSpec) -> Iterator[str]:
    """What is wrong with one input: its shape against its features, and each feature against the dtype."""
    if spec.shape[:1] != (-1,) or any(size < 1 for size in spec.shape[1:]):
        yield f"input {spec.name!r} has shape {list(spec.shape)}; the first dimension is -1, the others are positive"
    elif math.prod(spec.shape[1:]) != spec.width:
        yield f"input {spec.name!r} has {math.prod(spec.shape[1:])} cells but its features fill {spec.width}"
    yield from _duplicates(f"input {spec.name!r}: feature", [feature.name for feature in spec.features])
    for feature in spec.features:
        for problem in _feature_problems(feature, spec.dtype):
            yield f"feature {feature.name!r} of input {spec.name!r} {problem}"


def _feature_problems(feature: FeatureSpec, dtype: Dtype) -> Iterator[str]:
    if feature.missing == "nan" and dtype in ("int64", "string"):
        yield f'has missing = "nan", which {dtype} cannot hold; use "error" or {{"value": ...}}'
    if isinstance(feature.missing, MissingValue) and isinstance(feature.missing.value, str) != (dtype == "string"):
        yield f"has a missing value of another type than {dtype}"
    if (feature.length > 1) != (feature.format is not None):
        yield 'needs both a length above 1 and a format ("array" or "csv"), or neither'
    if not (math.isfinite(feature.offset) and math.isfinite(feature.scale)):
        yield "has an offset or scale that is not finite"
    if dtype == "string" and (feature.categories is not None or feature.offset != 0 or feature.scale != 1):
        yield "is text: categories, offset and scale have no meaning for it"
    if feature.categories is not None:
        yield from _category_problems(feature)


def _category_problems(feature: FeatureSpec) -> Iterator[str]:
    categories = feature.categories or ()
    if not categories:
        yield "has an empty list of categories"
    yield from _duplicates("repeats: category", list(categories))
    if feature.length > 1:
        yield "has categories and a length above 1"


def _score_problems(manifest: Manifest) -> Iterator[str]:
    outputs = {output.name: output for output in manifest.outputs}
    if not math.isfinite(manifest.decision.threshold):
        yield "the threshold is not finite"
    for output in manifest.outputs:
        if output.shape[:1] != (-1,) or len(output.shape) > 2 or any(size < 1 for size in output.shape[1:]):
            yield f"output {output.name!r} has shape {list(output.shape)}; supported are [-1] and [-1, k]"
            return
    output_spec = outputs.get(manifest.score.output)
    if output_spec is None:
        yield f"the score names output {manifest.score.output!r}, which is not listed"
        return
    columns, column = output_spec.columns, manifest.score.column
    if (columns is None) != (column is None) or (columns is not None and column is not None and column >= columns):
        yield f"score column {column} does not exist in output {output_spec.name!r} of shape {list(output_spec.shape)}"
    if manifest.multi_class and len(manifest.classes) != columns:
        yield f"{len(manifest.classes)} classes are listed but output {output_spec.name!r} has {columns} columns"


def _file_problems(manifest: Manifest) -> Iterator[str]:
    if (manifest.onnx is None) == (manifest.runtime is None):
        yield "it needs either 'onnx' or 'runtime'"
        return
    for path in manifest.files:
        if not is_safe_path(path):
            yield f"file {path!r} leaves the bundle"
    for path in (*manifest.model_files, *REQUIRED_FILES):
        if path not in manifest.files:
            yield f"{path!r} is not listed under files"


def is_safe_path(path: str) -> bool:
    """True for a relative path of plain names joined by ``/``: nothing absolute, no drive, no ``.`` or ``..``."""
    parts = path.split("/")
    return not re.search(r"[\\:\x00-\x1f]", path) and all(part not in ("", ".", "..") for part in parts)


def _duplicates(what: str, names: list[str]) -> Iterator[str]:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        yield f"{what} {repeated[0]!r} is listed more than once"
