"""Writing a bundle, as a directory or a jar.

Rule: the same content is the same bytes, and a reader never sees half a bundle: everything is written beside the
destination and moved there in one step.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from stream_infer.bundle.manifest import MANIFEST_FILE, Manifest, encode_manifest, with_files
from stream_infer.bundle.tree import FOLDER
from stream_infer.errors import UsageError

JAR_SUFFIX = ".jar"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: a fixed one, since the time of writing would change the bytes."""
_REGULAR_FILE = 0o100644 << 16
_UNIX = 3


def write_bundle(to: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Write a bundle and return its digest (SHA-256 of ``bundle.json``, 64 hexadecimal digits).

    Args:
        to: where: a zip if the name ends in ``.jar`` (replaced if it exists), else a directory, which must not exist.
        manifest: what `bundle.json` says; its ``files`` are filled in here.
        files: every other file by its path in the bundle.

    Raises:
        UsageError: the destination cannot be written.
    """
    destination = Path(to)
    encoded = encode_manifest(with_files(manifest, files))
    prefix = f"{FOLDER}/{manifest.model.name}/"
    content = {prefix + name: data for name, data in {**files, MANIFEST_FILE: encoded}.items()}
    is_jar = destination.name.endswith(JAR_SUFFIX)
    if destination.is_dir() or (destination.exists() and not is_jar):
        raise UsageError(f"{destination} exists already; name another destination or remove it")
    try:
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".bundle-") as workspace:
            draft = Path(workspace) / "draft"
            (_write_jar if is_jar else _write_directory)(draft, content)
            os.replace(draft, destination)
    except OSError as error:
        raise UsageError(f"{destination} cannot be written: {error.strerror or error}") from error
    return hashlib.sha256(encoded).hexdigest()


def _write_directory(root: Path, content: Mapping[str, bytes]) -> None:
    for name in sorted(content):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[name])


def _write_jar(path: Path, content: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR_FILE
            archive.writestr(entry, content[name])
