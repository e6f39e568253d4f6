from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.errors import CommitFailed, FatalError
from stream_infer.kafka.membership import check_membership


def metadata(generation: int, member: bytes, group: bytes = b"fraud", rest: bytes = b"\0\x01") -> bytes:
    return b"CGMDv2:" + struct.pack("<i", generation) + group + b"\0" + member + rest


def test_a_member_is_one() -> None:
    check_membership(metadata(1, b"member-1"), "fraud")
    check_membership(metadata(2**31 - 1, b"m", group="gruppe-ä".encode()), "gruppe-ä")


@pytest.mark.parametrize(("generation", "member"), [(-1, b""), (-1, b"m"), (0, b"m"), (7, b"")])
def test_who_is_none_commits_nothing(generation: int, member: bytes) -> None:
    with pytest.raises(CommitFailed, match="no member of group fraud at this moment"):
        check_membership(metadata(generation, member), "fraud")


@pytest.mark.parametrize(
    "unknown",
    [
        b"",
        b"CGMDv2:",
        b"CGMDv2:\x01\0\0\0",
        b"CGMDv2:\x01\0\0\0fraud",
        metadata(1, b"m").replace(b"v2", b"v3"),
        metadata(1, b"m", group=b"other"),
    ],
)
def test_an_unknown_form_is_refused(unknown: bytes) -> None:
    with pytest.raises(FatalError, match="install the version of confluent-kafka"):
        check_membership(unknown, "fraud")


@given(st.binary(max_size=40))
def test_no_bytes_are_taken_for_a_member_by_accident(noise: bytes) -> None:
    for given_bytes in (noise, b"CGMDv2:" + noise):
        with pytest.raises((CommitFailed, FatalError)):
            check_membership(given_bytes, "a group with a longer name than these bytes have room for")
