"""A virtual environment for each framework, since they ask for clients of different versions.

    python -m bench.rivals.frameworks.environments

Rule: made from the pinned list beside this file, kept under ``.cache/bench``, and made again when the list has changed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench import CACHE

FRAMEWORKS = ("quix", "bytewax", "faust", "faststream")
_HERE = Path(__file__).resolve().parent


def python_of(framework: str) -> Path:
    """The interpreter of a framework's environment, whether or not it has been made."""
    return CACHE / framework / "bin" / "python"


def missing(framework: str) -> str:
    """Why a framework cannot run; empty if it can."""
    if _stamp(framework).exists() and _stamp(framework).read_text() == _pins(framework).read_text():
        return ""
    return f"its environment is not there or out of date: run python -m {__spec__.name}"


def make(framework: str) -> None:
    """Make an environment.

    Raises:
        subprocess.CalledProcessError: a package could not be installed; pip has said why.
    """
    python = python_of(framework)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(_pins(framework))], check=True)
    _stamp(framework).write_text(_pins(framework).read_text())


def _pins(framework: str) -> Path:
    return _HERE / f"{framework}.txt"


def _stamp(framework: str) -> Path:
    return python_of(framework).parents[1] / "installed.txt"


def main() -> int:
    """Make those that are not there; 1 if one could not be made."""
    failed = 0
    for framework in filter(missing, FRAMEWORKS):
        print(f"installing {framework} ...", flush=True)
        try:
            make(framework)
        except subprocess.CalledProcessError as error:
            print(f"{framework} was not installed: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
