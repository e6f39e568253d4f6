"""What a comparison ran on, so that its figures can be told apart from another's.

Rule: hardware and versions only; nothing that names the machine or its user.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from integration.artifacts import KAFKA_VERSION

_PACKAGES = ("confluent-kafka", "onnxruntime", "fastavro", "numpy", "numba")


def describe() -> dict[str, str]:
    """Hardware and versions, by name."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "Kafka": KAFKA_VERSION,
        "Java": _java(),
        "Python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _java() -> str:
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    return told.splitlines()[0] if told else "not told"
