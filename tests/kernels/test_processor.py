"""Kernels are compiled for a kind of processor, not for the one at hand."""

from pathlib import Path

import pytest

from stream_infer.kernels import processor

_WIDE = "fpu sse2 avx f16c fma abm movbe bmi1 avx2 bmi2 erms"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (_WIDE, processor.WITH_WIDE_VECTORS),
        (_WIDE + " avx512f", processor.WITH_WIDE_VECTORS),
        (_WIDE.replace(" avx2", ""), processor.ANY),
        ("", processor.ANY),
    ],
)
def test_the_kind_follows_what_the_processor_can_do(tmp_path: Path, flags: str, expected: str) -> None:
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text(f"processor\t: 0\nmodel name\t: some\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    environment: dict[str, str] = {}
    processor.choose(environment, cpu_info)
    assert environment == {"NUMBA_CPU_NAME": expected, "NUMBA_CPU_FEATURES": ""}


def test_a_machine_that_does_not_tell_gets_code_for_any(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    processor.choose(environment, tmp_path / "none")
    assert environment["NUMBA_CPU_NAME"] == processor.ANY


def test_what_the_user_chose_stays(tmp_path: Path) -> None:
    environment = {"NUMBA_CPU_NAME": "generic"}
    processor.choose(environment, tmp_path / "none")
    assert environment == {"NUMBA_CPU_NAME": "generic"}
