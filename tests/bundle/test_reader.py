"""A bundle on disk: read in both forms, and each kind of damage is one clear error."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from stream_infer.bundle import Envelope, GoldenEvents, ModelBundle, write_bundle
from stream_infer.bundle.golden import encode_envelopes, encode_events
from stream_infer.errors import ModelLoadError, UsageError
from tests.scoring.bundles import example_bundle

PREFIX = "META-INF/stream-infer/fraud/"


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "fraud-7.bundle.jar"
    write_bundle(path, example_bundle().manifest, example_bundle().files)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The model's folder inside a bundle's directory."""
    write_bundle(tmp_path / "fraud-7", example_bundle().manifest, example_bundle().files)
    return tmp_path / "fraud-7" / PREFIX


def test_both_forms_hold_the_same(jar: Path, folder: Path) -> None:
    from_jar, from_directory = ModelBundle.load(jar), ModelBundle.load(folder.parents[2])
    assert from_jar.files == from_directory.files == example_bundle().files
    assert from_jar.digest == from_directory.digest == ModelBundle.load(folder).digest
    assert from_jar.manifest == from_directory.manifest
    assert isinstance(from_jar.model, bytes)
    assert from_jar.profile is None


def test_the_digest_is_that_of_bundle_json(folder: Path) -> None:
    written = hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    assert ModelBundle.load(folder).digest == written == example_bundle().digest


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jar", tmp_path / "b.jar"]
    digests = [write_bundle(path, example_bundle().manifest, example_bundle().files) for path in paths]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert digests[0] == digests[1]


def test_a_jar_is_replaced_and_a_directory_is_not(jar: Path, folder: Path) -> None:
    before = jar.read_bytes()
    write_bundle(jar, example_bundle().manifest, example_bundle().files)
    assert jar.read_bytes() == before
    with pytest.raises(UsageError, match="exists already"):
        write_bundle(folder.parents[2], example_bundle().manifest, example_bundle().files)


def test_a_destination_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_bundle(tmp_path / "absent" / "x.jar", example_bundle().manifest, example_bundle().files)
    assert list(tmp_path.iterdir()) == []


def test_identity_and_projection(jar: Path) -> None:
    bundle = ModelBundle.load(jar)
    assert bundle.identity().threshold == 0.5
    assert bundle.identity(0.9).threshold == 0.9
    assert bundle.identity().digest == bundle.digest
    projection = bundle.projection(["category"])
    assert projection.carried == ("category",)
    assert projection.inputs[0].width == 3
    assert projection.reader_schema["name"] == "Payment"


def test_golden_events_keep_what_the_record_carried() -> None:
    example = example_bundle()
    events = example.golden_events()
    envelopes = (Envelope(b"k", 5, (("h", b"v"), ("n", None))), Envelope(), Envelope(None, -1, (("h", b""),)))
    files = {
        **example.files,
        "golden/input.avro": encode_events(GoldenEvents(events.schema, events.values, envelopes)),
        "golden/records.avro": encode_envelopes(envelopes),
    }
    read = ModelBundle.assemble(example.manifest, files, "test").golden_events()
    assert read.envelopes == envelopes
    records = read.records()
    assert records.keys.to_list() == [b"k", None, None]
    assert records.timestamp_ms.tolist() == [5, -1, -1]
    assert records.headers is not None
    assert records.headers[0] == (("h", b"v"), ("n", None))


def test_golden_answers_are_read_as_written() -> None:
    answers = example_bundle().golden_answers()
    np.testing.assert_array_equal(answers.score, np.array([0.1, 0.9, 0.1], np.float32))
    assert answers.flagged.tolist() == [False, True, False]
    assert answers.reasons == (None, None, None)


# --- damage ---


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def relist(folder: Path, name: str, data: bytes) -> None:
    """Replace a file and list it as it is now."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    rewrite_manifest(folder, lambda content: content["files"].update({name: entry}))


def as_link(folder: Path) -> None:
    model = folder / "model.onnx"
    shutil.move(model, folder / "elsewhere")
    model.symlink_to(folder / "elsewhere")


def as_linked_folder(folder: Path) -> None:
    shutil.move(folder / "golden", folder / "elsewhere")
    (folder / "golden").symlink_to(folder / "elsewhere")


def flip_byte(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "model.onnx").write_bytes(data)


def external_data(location: str) -> bytes:
    """The example's model with a tensor that lies in another file."""
    proto = onnx.load_from_string(example_bundle().files["model.onnx"])
    tensor = proto.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.data_location = "t", TensorProto.FLOAT, TensorProto.EXTERNAL
    tensor.dims.append(1)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.onnx").unlink(), "model.onnx is listed in bundle.json but absent"),
        (lambda f: (f / "golden/input.avro").write_bytes(b""), r"golden/input.avro has 0 bytes but bundle.json says"),
        (flip_byte, "model.onnx does not have the checksum"),
        (lambda f: (f / "bundle.json").unlink(), r"holds no META-INF/stream-infer/<model>/bundle.json"),
        (lambda f: (f / "bundle.json").write_bytes(b"{"), "bundle.json is not valid"),
        (as_link, "model.onnx is a symbolic link"),
        (as_linked_folder, "golden is a symbolic link"),
        (lambda f: relist(f, "model.onnx", b"not a model"), "model.onnx is not a valid ONNX model"),
        (lambda f: relist(f, "schema/input.avsc", b'"string"'), "input.avsc is not an Avro record"),
        (lambda f: relist(f, "schema/input.avsc", b"{"), "input.avsc is not JSON"),
        (lambda f: rewrite_manifest(f, lambda c: c["onnx"].update(ops=["Abs"])), "has other operators or versions"),
        (lambda f: relist(f, "model.onnx", external_data("t.bin")), "'t.bin', which bundle.json does not list"),
        (lambda f: relist(f, "model.onnx", external_data("../t.bin")), r"'\.\./t.bin', outside the bundle"),
        (lambda f: relist(f, "model.onnx", external_data("/etc/passwd")), "'/etc/passwd', outside the bundle"),
    ],
)
def test_each_kind_of_damage_is_one_clear_error(folder: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(folder)
    with pytest.raises(ModelLoadError, match=message) as caught:
        ModelBundle.load(folder.parents[2]).projection()
    assert str(folder.parents[2]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_listed_external_data_is_opened_by_path_and_checked(folder: Path, tmp_path: Path) -> None:
    relist(folder, "model.onnx", external_data("t.bin"))
    relist(folder, "t.bin", b"\0\0\0\0")
    bundle = ModelBundle.load(folder)
    assert bundle.model == folder / "model.onnx"
    assert "t.bin" not in bundle.files
    (folder / "t.bin").write_bytes(b"\0\0\0\1")
    with pytest.raises(ModelLoadError, match=r"t.bin does not have the checksum"):
        ModelBundle.load(folder)
    (folder / "t.bin").write_bytes(b"\0\0\0\0")
    packed = tmp_path / "packed.bundle.jar"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, PREFIX + path.relative_to(folder).as_posix())
    with pytest.raises(ModelLoadError, match="needs the directory form"):
        ModelBundle.load(packed)


def test_nothing_at_the_path(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="there is no model bundle at"):
        ModelBundle.load(tmp_path / "absent.bundle.jar")


def test_several_models_in_one_directory(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "other")
    with pytest.raises(ModelLoadError, match=r"several models \(fraud, other\)"):
        ModelBundle.load(folder.parents[2])


def test_a_truncated_jar(jar: Path) -> None:
    for size in (0, 10, len(jar.read_bytes()) // 2):
        jar.write_bytes(jar.read_bytes()[:size])
        with pytest.raises(ModelLoadError, match="not a readable zip file"):
            ModelBundle.load(jar)


def test_a_jar_with_damaged_content(jar: Path) -> None:
    data = bytearray(jar.read_bytes())
    position = data.index(b"model.onnx") + 40
    data[position : position + 8] = b"\xff" * 8
    jar.write_bytes(data)
    with pytest.raises(ModelLoadError, match=r"fraud-7.bundle.jar is not a readable zip"):
        ModelBundle.load(jar)


def test_a_jar_with_one_name_twice(jar: Path) -> None:
    with zipfile.ZipFile(jar, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(PREFIX + "model.onnx", b"other")
    with pytest.raises(ModelLoadError, match="more than once"):
        ModelBundle.load(jar)


def test_a_jar_with_a_link(jar: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked.bundle.jar"
    with zipfile.ZipFile(jar) as source, zipfile.ZipFile(linked, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("model.onnx"):
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            target.writestr(entry, data)
    with pytest.raises(ModelLoadError, match=r"model.onnx is a link or encrypted"):
        ModelBundle.load(linked)
