"""The wheel: built, installed into a clean environment with the pins, and used. Needs the package registry."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import stream_infer

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.packaging


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Standard output; standard error is the assertion's message when the command fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, as an index would get both."""
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the wheel and its run-time dependencies only."""
    environment = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    return python


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()

    assert {name.split("/")[0] for name in names} == {
        "stream_infer",
        f"stream_infer-{stream_infer.__version__}.dist-info",
    }
    assert "stream_infer/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert [name for name in names if "__pycache__" in name or "/test_" in name] == []


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    package = ROOT / "stream_infer"
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(wheel) as packed:
        assert {name for name in packed.namelist() if name.startswith("stream_infer/")} == expected


def test_the_installed_program_runs(clean_python: Path, tmp_path: Path) -> None:
    program = clean_python.with_name("stream-infer")

    assert stream_infer.__version__ in run(program, "--version", cwd=tmp_path)
    assert "demo" in run(program, "--help", cwd=tmp_path)


def test_the_installed_package_imports_every_module(clean_python: Path, tmp_path: Path) -> None:
    """What only the development environment brings must not be needed to import anything."""
    import_all = (
        "import importlib, pkgutil, stream_infer\n"
        "for module in pkgutil.walk_packages(stream_infer.__path__, 'stream_infer.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "from confluent_kafka.schema_registry import SchemaRegistryClient\n"
        "print(stream_infer.__version__)\n"
    )

    assert run(clean_python, "-W", "error", "-c", import_all, cwd=tmp_path).strip() == stream_infer.__version__


def test_the_installed_dependencies_agree(clean_python: Path) -> None:
    assert "No broken requirements" in run(clean_python, "-m", "pip", "check")


def test_dependencies_resolve_on_python_3_14() -> None:
    uv = Path(sys.executable).with_name("uv")
    target = ("--python-version", "3.14", "--only-binary", ":all:")

    resolved = run(
        uv, "pip", "compile", "--quiet", *target, "--constraint", "constraints.txt", "--extra", "dev", "pyproject.toml"
    )

    assert "confluent-kafka==" in resolved
    assert "onnxruntime==" in resolved
    # Faust asks for an older click than that of development.
    assert "faust-streaming==" in run(uv, "pip", "compile", "--quiet", *target, "--extra", "faust", "pyproject.toml")
