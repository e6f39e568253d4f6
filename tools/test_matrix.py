"""Runs `tests/` on every supported Python that this machine has.

Rule: an interpreter that is not there is no failure, but it is counted and named in the last lines. The Python that
runs this is one of them; every other one has an environment in the cache, set up again when the pins change. All run
side by side; what each of them printed is shown when it has ended.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"
SUPPORTED = ("3.11", "3.12", "3.13")
ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("STREAM_INFER_CACHE", ROOT / ".cache"))


def main() -> int:
    """Run the tests on each version; 0 when all that ran passed."""
    versions = list(dict.fromkeys((CURRENT, *SUPPORTED)))
    with ThreadPoolExecutor(len(versions)) as side_by_side:
        outcomes = dict(zip(versions, side_by_side.map(run_tests, versions), strict=True))
    print("\ntests/ on the supported Python versions:")
    for version, outcome in outcomes.items():
        print(f"  {version}: {outcome}")
    missing = sum(outcome.startswith("not run") for outcome in outcomes.values())
    print(f"  ran on {len(outcomes) - missing} of {len(outcomes)}, not run on {missing}")
    return int("failed" in outcomes.values())


def run_tests(version: str) -> str:
    """``passed``, ``failed``, or ``not run: ...``."""
    python = python_for(version)
    if python is None:
        return f"not run: python{version} not found"
    command: list[str | Path] = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(f"\n== tests/ on Python {version}\n{done.stdout}", flush=True)
    return "failed" if done.returncode else "passed"


def python_for(version: str) -> Path | None:
    """A Python of ``version`` with all packages, or None."""
    if version == CURRENT:
        return Path(sys.executable)
    interpreter = find_python(version)
    return None if interpreter is None else prepare_environment(version, interpreter)


def find_python(version: str) -> str | None:
    """The interpreter of ``version``, or None."""
    found = subprocess.run([ROOT / "tools" / "find-python", version], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def prepare_environment(version: str, interpreter: str) -> Path:
    """The Python of a virtual environment with the pinned packages; made only when the pins have changed."""
    environment = CACHE / f"python-{version}"
    python, stamp = environment / "bin" / "python", environment / "installed"
    wanted = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")))
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return python
    subprocess.run([interpreter, "-m", "venv", "--clear", environment], check=True)
    install: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        "constraints.txt",
        "--editable",
        ".[dev]",
    ]
    subprocess.run(install, cwd=ROOT, check=True)
    stamp.write_text(wanted.hexdigest())
    return python


if __name__ == "__main__":
    sys.exit(main())
