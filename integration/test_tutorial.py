"""The README's tutorial, typed as it stands there, against the real broker.

Rule: the commands are read off the page. Only what a shared machine needs is changed: the broker's address, the
port of the metrics, and the names of topics and group.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from integration.brokers import Kafka
from integration.topics import unique_name

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
STEPS = README[README.index("### 1. A model") : README.index("### Avro, schema registries, and payments")]


@pytest.fixture
def workshop(kafka: Kafka, tmp_path: Path) -> tuple[Path, str]:
    """A copy of the examples that speaks to the test's broker, and the prefix of its topics."""
    prefix = unique_name("tutorial")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("*.onnx", "*.jar"))
    config = tmp_path / "examples/machines/machines.toml"
    text = (
        config.read_text().replace("127.0.0.1:9092", kafka.bootstrap_servers).replace("127.0.0.1:9464", "127.0.0.1:0")
    )
    config.write_text(with_topics(text, prefix).replace('group_id = "machines"', f'group_id = "{prefix}"'))
    return tmp_path, prefix


def with_topics(text: str, prefix: str) -> str:
    return re.sub(r"\bmachines\.(readings|scored|alarms|dlq)\b", rf"{prefix}.\1", text)


def commands(prefix: str, bootstrap_servers: str) -> list[str]:
    typed = "\n".join(re.findall(r"```sh\n(.*?)```", STEPS, re.DOTALL)).replace("\\\n", " ")
    lines = [line for line in typed.splitlines() if line and "activate" not in line]
    clients = ("python examples/send.py", "python examples/show.py")
    return [
        with_topics(line, prefix) + (f" --bootstrap-servers {bootstrap_servers}" if line.startswith(clients) else "")
        for line in lines
    ]


def test_every_command_of_the_tutorial_does_what_the_page_says(kafka: Kafka, workshop: tuple[Path, str]) -> None:
    folder, prefix = workshop
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for command in commands(prefix, kafka.bootstrap_servers):
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said += f"$ {command}\n{done.stdout}{done.stderr}"
    for promised in (
        "machines.onnx, and 5000 readings",
        "256 golden events",
        "machines.toml: valid",
        f"{prefix}.readings",
        "5000 of 5000 events are in",
        "reason=finished",
        "settled=5000",
        '"flagged":true',
        "reason=missing_feature",
        "__stream_infer.errors.message: feature sensors.temperature_c",
    ):
        assert promised in said, f"the page promises {promised!r}\n{said}"
