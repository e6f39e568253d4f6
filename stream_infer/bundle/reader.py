"""Reading a bundle, and refusing one that is not whole.

Rule: when `ModelBundle.load` returns, every listed file has the size and checksum that `bundle.json` says, a graph
uses standard operators only, and every byte that a runtime could ask for is listed. Whether the model answers as it
should is proven afterwards, by the golden vectors (`stream_infer.scoring.open_model`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stream_infer.bundle.golden import GoldenAnswers, GoldenEvents, decode_answers, decode_events
from stream_infer.bundle.graph import graph_refusal, read_graph_facts
from stream_infer.bundle.manifest import (
    GOLDEN_EXPECTED_FILE,
    GOLDEN_INPUT_FILE,
    GOLDEN_RECORDS_FILE,
    INPUT_SCHEMA_FILE,
    MANIFEST_FILE,
    PROFILE_FILE,
    FileEntry,
    Manifest,
    encode_manifest,
    is_safe_path,
    parse_manifest,
    with_files,
)
from stream_infer.bundle.tree import Tree, open_tree
from stream_infer.errors import ModelLoadError
from stream_infer.projection import Projection
from stream_infer.types import ModelIdentity

MAX_MANIFEST_BYTES = 16 * 1024 * 1024
"""Largest `bundle.json` that is read. It is the one file whose size nothing announces; real ones take a few kB."""

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """A model, what it expects, what it answers, and the proof of it. Make one with `ModelBundle.load`.

    Example:
        >>> bundle = ModelBundle.load(bundle_path)
        >>> bundle.manifest.model.name
        'fraud'
        >>> [feature.path for feature in bundle.manifest.inputs[0].features]
        ['amount', 'geo.lat', 'category']
        >>> bundle.identity().threshold
        0.5
    """

    source: str
    """Where it was read from, for messages."""
    manifest: Manifest
    digest: str
    """SHA-256 of ``bundle.json``, 64 hexadecimal digits."""
    files: Mapping[str, bytes]
    """The files by their path in the bundle; without those of ``external_data``."""
    model_path: Path | None = None
    """The graph on disk, where it must be opened by path because its tensors lie in other files; else None."""

    @classmethod
    def load(cls, path: str | Path) -> ModelBundle:
        """Read a bundle and check that it is whole.

        Args:
            path: a ``.bundle.jar``, or a directory of the same content.

        Raises:
            ModelLoadError: it is absent, damaged, or refused; the message names the file and the remedy.
        """
        source = str(path)
        with open_tree(Path(path)) as tree:
            data = _read_manifest(tree, source)
            manifest = parse_manifest(data, source)
            files = {name: _read_listed(tree, manifest, name, source) for name in manifest.model_files}
            external: frozenset[str] = frozenset()
            if manifest.onnx is not None:
                external = _check_graph(files[manifest.onnx.file], manifest, source)
                _check_external(external, tree, manifest, source)
            for name in sorted(set(manifest.files) - set(manifest.model_files)):
                if name in external:
                    _verify_listed(tree, manifest, name, source)
                else:
                    files[name] = _read_listed(tree, manifest, name, source)
            model_path = tree.folder / manifest.graph.file if external and tree.folder else None
        return cls(source, manifest, hashlib.sha256(data).hexdigest(), files, model_path)

    @classmethod
    def assemble(cls, manifest: Manifest, files: Mapping[str, bytes], source: str) -> ModelBundle:
        """A bundle in memory, as it would be read after `write_bundle`: what an exporter proves before it writes.

        Args:
            manifest: what `bundle.json` says; its ``files`` are filled in here.
            files: every other file by its path in the bundle.
            source: what messages call it.
        """
        complete = with_files(manifest, files)
        return cls(source, complete, hashlib.sha256(encode_manifest(complete)).hexdigest(), files)

    @property
    def model(self) -> bytes | Path:
        """What ONNX Runtime opens: the graph's bytes, or its path where tensors lie in other files."""
        return self.model_path or self.files[self.manifest.graph.file]

    @property
    def input_schema(self) -> dict[str, Any]:
        """The reader's view of the event, an Avro record.

        Raises:
            ModelLoadError: ``schema/input.avsc`` is not an Avro record.
        """
        schema = self._json(INPUT_SCHEMA_FILE)
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise ModelLoadError(f"{self.source}: {INPUT_SCHEMA_FILE} is not an Avro record; export the model again")
        return schema

    @property
    def profile(self) -> dict[str, Any] | None:
        """Distribution of each feature and of the score on the sample; None where the bundle has none."""
        return self._json(PROFILE_FILE) if PROFILE_FILE in self.files else None

    def identity(self, threshold: float | None = None) -> ModelIdentity:
        """What scored events call this model by.

        Args:
            threshold: the one in force instead of the bundle's own.
        """
        in_force = self.manifest.decision.threshold if threshold is None else threshold
        return ModelIdentity(self.manifest.model.name, self.manifest.model.version, self.digest, in_force)

    def projection(self, carried: Sequence[str] = ()) -> Projection:
        """What a decoder must bring out of an event for this model.

        Args:
            carried: names of top-level fields that the output needs as well.

        Raises:
            ModelLoadError: the input schema is damaged.
        """
        inputs = tuple(spec.to_input() for spec in self.manifest.inputs)
        return Projection(inputs, tuple(carried), self.input_schema)

    def golden_events(self) -> GoldenEvents:
        """The events that prove the model.

        Raises:
            ModelLoadError: the files are damaged.
        """
        envelopes = self.files.get(GOLDEN_RECORDS_FILE)
        return decode_events(self.files[GOLDEN_INPUT_FILE], envelopes, self.manifest.golden.rows, self.source)

    def golden_answers(self) -> GoldenAnswers:
        """What the model must answer to `golden_events`.

        Raises:
            ModelLoadError: the file is damaged.
        """
        return decode_answers(self.files[GOLDEN_EXPECTED_FILE], self.manifest.golden.rows, self.source)

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self.files[name])
        except ValueError as error:
            raise ModelLoadError(f"{self.source}: {name} is not JSON; export the model again") from error


def _read_manifest(tree: Tree, source: str) -> bytes:
    size = tree.size(MANIFEST_FILE)
    if size is None:
        raise ModelLoadError(f"{source} holds no {MANIFEST_FILE}; is it a model bundle?")
    if size > MAX_MANIFEST_BYTES:
        raise ModelLoadError(f"{source}: {MANIFEST_FILE} has {size} bytes; at most {MAX_MANIFEST_BYTES} are read")
    with tree.open(MANIFEST_FILE) as file:
        return file.read(MAX_MANIFEST_BYTES)


def _read_listed(tree: Tree, manifest: Manifest, name: str, source: str) -> bytes:
    """A file's bytes. Those very bytes are checked, so that a file changed meanwhile is noticed."""
    entry = _entry(tree, manifest, name, source)
    with tree.open(name) as file:
        data = file.read(entry.size + 1)
    _check_sum(hashlib.sha256(data).hexdigest(), entry, f"{source}: {name}")
    return data


def _verify_listed(tree: Tree, manifest: Manifest, name: str, source: str) -> None:
    """Check a file that may be too large to hold in memory."""
    entry = _entry(tree, manifest, name, source)
    checksum = hashlib.sha256()
    with tree.open(name) as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum.update(chunk)
    _check_sum(checksum.hexdigest(), entry, f"{source}: {name}")


def _entry(tree: Tree, manifest: Manifest, name: str, source: str) -> FileEntry:
    entry = manifest.files[name]
    size = tree.size(name)
    if size is None:
        raise ModelLoadError(f"{source}: {name} is listed in {MANIFEST_FILE} but absent; copy or export it again")
    if size != entry.size:
        raise ModelLoadError(
            f"{source}: {name} has {size} bytes but {MANIFEST_FILE} says {entry.size}; copy or export it again"
        )
    return entry


def _check_sum(found: str, entry: FileEntry, place: str) -> None:
    if found != entry.sha256:
        raise ModelLoadError(f"{place} does not have the checksum that {MANIFEST_FILE} says; copy or export it again")


def _check_graph(model: bytes, manifest: Manifest, source: str) -> frozenset[str]:
    """Compare the graph's facts with the manifest's; the files of its external tensors, by path in the bundle."""
    place = f"{source}: {manifest.graph.file}"
    facts = read_graph_facts(model, place)
    if refusal := graph_refusal(facts, manifest.graph.contrib_ops):
        raise ModelLoadError(f"{place} is refused: {refusal}")
    if (facts.ir, facts.opset, facts.op_names) != (manifest.graph.ir, manifest.graph.opset, manifest.graph.ops):
        raise ModelLoadError(f"{place} has other operators or versions than {MANIFEST_FILE} says; export it again")
    folder = PurePosixPath(manifest.graph.file).parent
    for location in sorted(facts.external_data):
        if not is_safe_path(location):
            raise ModelLoadError(f"{place} is refused: it reads tensors from {location!r}, outside the bundle")
    return frozenset(str(folder / location) for location in facts.external_data)


def _check_external(external: frozenset[str], tree: Tree, manifest: Manifest, source: str) -> None:
    unlisted = sorted(external - set(manifest.files))
    if unlisted:
        raise ModelLoadError(
            f"{source}: {manifest.graph.file} reads tensors from {unlisted[0]!r}, which {MANIFEST_FILE} does not list; "
            "export the model again"
        )
    if external and tree.folder is None:
        raise ModelLoadError(
            f"{source}: {manifest.graph.file} keeps tensors in other files, which needs the directory form; unpack it"
        )
