"""Kernels in folders that nobody may write to.

A copy of the package in a folder of its own stands for an image, and a program that calls one kernel for the service.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stream_infer
from stream_infer.kernels.compiled import Usage

PACKAGE = Path(stream_infer.__file__).parent

ONE_CALL = """
import json
import numpy as np
from stream_infer.kernels import spans
from stream_infer.kernels.compiled import usage

ids = np.zeros(1, np.int64)
spans.read_ids(np.array([0, 0, 0, 0, 7, 1], np.uint8), np.array([0, 6]), np.array([0]), ids)
assert ids[0] == 7
used = usage()
print(json.dumps([used.compiled, used.loaded, str(used.kept_in), used.forgotten]))
"""
AS_A_USER_WITHOUT_PRIVILEGES = """
import ctypes, os, sys

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
if os.geteuid() == 0:  # for whom permissions mean nothing otherwise
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0, "this root cannot drop privileges"
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


class Image:
    """A copy of the package's kernels.

    Args:
        folder: where to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernels = folder / "stream_infer" / "kernels"
        self.cache = self.kernels / "__pycache__"
        shutil.copytree(PACKAGE / "kernels", self.kernels, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(PACKAGE / "__init__.py", self.kernels.parent)
        self.home = folder / "home"
        self.home.mkdir(mode=0o555)

    def start(self, program: str = ONE_CALL, **environment: str) -> Usage:
        """Call a kernel in a process that honours permissions and whose home cannot be written."""
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1", **environment}
        done = subprocess.run(
            [sys.executable, "-c", AS_A_USER_WITHOUT_PRIVILEGES, program],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        compiled, loaded, kept_in, forgotten = json.loads(done.stdout)
        return Usage(compiled, loaded, None if kept_in == "None" else Path(kept_in), forgotten)

    def make_read_only(self) -> None:
        """Nobody may write to the folders of the package any more."""
        for folder in (self.kernels.parent, self.kernels, self.cache):
            if folder.exists():
                folder.chmod(0o555)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path / "image")


@pytest.fixture
def warm_image(image: Image) -> Image:
    assert image.start() == Usage(1, 0, image.cache, 0)
    image.make_read_only()
    return image


def test_kernels_in_an_image_that_cannot_be_written_are_loaded(warm_image: Image) -> None:
    assert warm_image.start() == Usage(0, 1, warm_image.cache, 0)


def test_they_are_loaded_though_an_empty_folder_could_be_written(warm_image: Image, tmp_path: Path) -> None:
    assert warm_image.start(NUMBA_CACHE_DIR=str(tmp_path / "empty")) == Usage(0, 1, warm_image.cache, 0)
    assert warm_image.start(HOME=str(tmp_path)) == Usage(0, 1, warm_image.cache, 0)


def test_a_folder_of_ones_own_is_loaded_from_though_it_cannot_be_written(image: Image, tmp_path: Path) -> None:
    image.make_read_only()
    folder = tmp_path / "mounted"
    warmed = image.start(NUMBA_CACHE_DIR=str(folder))
    assert (warmed.compiled, warmed.forgotten) == (1, 0)
    for each in (folder, *folder.iterdir()):
        each.chmod(0o555)
    assert image.start(NUMBA_CACHE_DIR=str(folder)) == Usage(0, 1, warmed.kept_in, 0)


def test_an_image_that_was_not_warmed_works_and_says_what_it_forgets(image: Image) -> None:
    image.make_read_only()
    for _ in range(2):
        assert image.start() == Usage(1, 0, None, 1)


def test_a_copy_of_a_warm_image_is_warm(warm_image: Image, tmp_path: Path) -> None:
    shutil.copytree(warm_image.folder, tmp_path / "copy")
    warm_image.folder = tmp_path / "copy"
    assert warm_image.start().loaded == 1


def test_a_kernel_that_was_changed_is_not_taken_for_the_old_one(warm_image: Image) -> None:
    source = warm_image.kernels / "spans.py"
    source.write_text(source.read_text() + "\n# changed\n")
    assert warm_image.start() == Usage(1, 0, None, 1)


@pytest.mark.parametrize("cut", [True, False], ids=["cut short", "unreadable"])
def test_kept_files_that_are_of_no_use_cost_a_compilation(image: Image, cut: bool) -> None:
    image.start()
    [index] = image.cache.glob("*.nbi")
    if cut:
        index.write_bytes(b"")
    else:
        index.chmod(0o000)
    assert image.start() == Usage(1, 0, None, 1)
    image.make_read_only()
    assert image.start() == Usage(1, 0, None, 1)
