"""Virtual environments for what cannot live beside the packages of development.

    python = environment("faust", ["-e", f"{ROOT}[faust]"])

Rule: made once, kept under ``.cache/environments``, and made again when what is asked for or the project's own
requirements have changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("STREAM_INFER_CACHE", ROOT / ".cache")) / "environments"


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment that holds ``requirements``, as pip's arguments.

    Raises:
        RuntimeError: a package could not be installed; pip has said why.
    """
    folder = CACHE / name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join([*requirements, (ROOT / "pyproject.toml").read_text("utf-8")])
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return python
    print(f"installing the environment {name} ...", flush=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *requirements]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], pip):
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(f"the environment {name} cannot be made: {' '.join(command)} failed")
    stamp.write_text(wanted, "utf-8")
    return python
