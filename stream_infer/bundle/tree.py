"""The two forms of a bundle on disk, a directory and a zip, read through one narrow door.

Rule: nothing outside the bundle can be reached. A path is plain names only (checked by the manifest), no part of it may
be a symbolic link, a zip with two entries of one name is refused, and no read is longer than the size announced.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from stream_infer.bundle.manifest import MANIFEST_FILE
from stream_infer.errors import ModelLoadError

FOLDER = "META-INF/stream-infer"
"""Where a bundle's folder lies, so that several bundles can share a class path."""

_ENCRYPTED = 0x1
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


class Tree(Protocol):
    """The files of one model's folder."""

    @property
    def folder(self) -> Path | None:
        """The folder itself; None inside a zip."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when there is none."""
        ...

    def open(self, path: str) -> IO[bytes]:
        """A file, for reading."""
        ...


class DirectoryTree:
    """A bundle as a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder
        self._folder = folder

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when there is none.

        Raises:
            ModelLoadError: the file, or a folder on the way to it, is a symbolic link.
        """
        step = self._folder
        for part in PurePosixPath(path).parts:
            step = step / part
            if step.is_symlink():
                raise ModelLoadError(f"{step} is a symbolic link; copy the file itself into the bundle")
        return step.stat().st_size if step.is_file() else None

    def open(self, path: str) -> IO[bytes]:
        """A file, for reading. Call `size` first: it refuses links."""
        return (self._folder / path).open("rb")


class JarTree:
    """A bundle as a zip."""

    folder: Path | None = None

    def __init__(self, archive: zipfile.ZipFile, prefix: str) -> None:
        self._archive = archive
        self._prefix = prefix
        self._entries = {entry.filename: entry for entry in archive.infolist()}

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when there is none.

        Raises:
            ModelLoadError: the entry is a symbolic link or encrypted.
        """
        entry = self._entries.get(self._prefix + path)
        if entry is None:
            return None
        if stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & _ENCRYPTED:
            raise ModelLoadError(f"{self._archive.filename}: {path} is a link or encrypted; write the bundle again")
        return entry.file_size

    def open(self, path: str) -> IO[bytes]:
        """A file, for reading. Call `size` first: it refuses links."""
        return self._archive.open(self._entries[self._prefix + path])


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """Find the model's folder in a bundle; zip errors inside the block become `ModelLoadError`.

    Args:
        path: a directory (the bundle's, or the model's folder itself) or a zip file.

    Raises:
        ModelLoadError: there is nothing there, no model in it, more than one, or it cannot be read.
    """
    try:
        if path.is_dir():
            yield DirectoryTree(_find_folder(path))
            return
        with zipfile.ZipFile(path) as archive:
            yield JarTree(archive, _find_prefix(archive, path))
    except FileNotFoundError as error:
        raise ModelLoadError(f"there is no model bundle at {path}; check the path") from error
    except _ZIP_ERRORS as error:
        raise ModelLoadError(f"{path} is not a readable zip file ({error}); copy or export it again") from error
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror or error}") from error


def _find_folder(path: Path) -> Path:
    if (path / MANIFEST_FILE).exists():
        return path
    found = sorted(manifest.parent for manifest in path.glob(f"{FOLDER}/*/{MANIFEST_FILE}"))
    return path / FOLDER / _only([folder.name for folder in found], path)


def _find_prefix(archive: zipfile.ZipFile, path: Path) -> str:
    names = archive.namelist()
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ModelLoadError(f"{path} holds {repeated[0]!r} more than once; export it again")
    parts = [PurePosixPath(name).parts for name in names]
    found = sorted(
        part[2] for part in parts if len(part) == 4 and "/".join(part[:2]) == FOLDER and part[3] == MANIFEST_FILE
    )
    return f"{FOLDER}/{_only(found, path)}/"


def _only(models: list[str], path: Path) -> str:
    if not models:
        raise ModelLoadError(f"{path} holds no {FOLDER}/<model>/{MANIFEST_FILE}; is it a model bundle?")
    if len(models) > 1:
        raise ModelLoadError(f"{path} holds several models ({', '.join(models)}); one bundle holds one")
    return models[0]
