"""What Kafka's tool prints, read as the fates of records; integration/faults/test_log_dump.py runs the tool itself."""

from __future__ import annotations

import pytest

from integration.faults.log_dump import RecordFate, parse_dump

DUMP = """\
Dumping /data/node-1/some-topic-0/00000000000000000000.log
Log starting offset: 0
baseOffset: 0 lastOffset: 1 count: 2 baseSequence: 0 lastSequence: 1 producerId: 7 producerEpoch: 0 \
partitionLeaderEpoch: 0 isTransactional: true isControl: false deleteHorizonMs: OptionalLong.empty position: 0 \
CreateTime: 1 size: 97 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 0 CreateTime: 1 keySize: 1 valueSize: 4 sequence: 0 headerKeys: []
| offset: 1 CreateTime: 1 keySize: 1 valueSize: -1 sequence: 1 headerKeys: [__stream_infer.errors.reason]
baseOffset: 2 lastOffset: 2 count: 1 baseSequence: 0 lastSequence: 0 producerId: 8 producerEpoch: 3 \
partitionLeaderEpoch: 0 isTransactional: true isControl: false deleteHorizonMs: OptionalLong.empty position: 0 \
CreateTime: 1 size: 97 magic: 2 compresscodec: zstd crc: 1 isvalid: true
| offset: 2 CreateTime: 1 keySize: -1 valueSize: 4 sequence: 0 headerKeys: []
baseOffset: 3 lastOffset: 3 count: 1 baseSequence: -1 lastSequence: -1 producerId: 7 producerEpoch: 0 \
partitionLeaderEpoch: 0 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 97 \
CreateTime: 1 size: 78 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 3 CreateTime: 1 keySize: 4 valueSize: 6 sequence: -1 headerKeys: [] endTxnMarker: ABORT coordinatorEpoch: 0
Dumping /data/node-1/some-topic-0/00000000000000000004.log
Log starting offset: 4
baseOffset: 4 lastOffset: 4 count: 1 baseSequence: 2 lastSequence: 2 producerId: 7 producerEpoch: 0 \
partitionLeaderEpoch: 0 isTransactional: true isControl: false deleteHorizonMs: OptionalLong.empty position: 0 \
CreateTime: 1 size: 97 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 4 CreateTime: 1 keySize: -1 valueSize: 4 sequence: 2 headerKeys: []
baseOffset: 5 lastOffset: 5 count: 1 baseSequence: -1 lastSequence: -1 producerId: 8 producerEpoch: 4 \
partitionLeaderEpoch: 0 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 97 \
CreateTime: 1 size: 78 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 5 CreateTime: 1 keySize: 4 valueSize: 6 sequence: -1 headerKeys: [] endTxnMarker: COMMIT coordinatorEpoch: 0
baseOffset: 6 lastOffset: 6 count: 1 baseSequence: 0 lastSequence: 0 producerId: 8 producerEpoch: 5 \
partitionLeaderEpoch: 0 isTransactional: true isControl: false deleteHorizonMs: OptionalLong.empty position: 0 \
CreateTime: 1 size: 97 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 6 CreateTime: 1 keySize: -1 valueSize: 4 sequence: 2 headerKeys: []
baseOffset: 7 lastOffset: 7 count: 1 baseSequence: -1 lastSequence: -1 producerId: 8 producerEpoch: 5 \
partitionLeaderEpoch: 0 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 97 \
CreateTime: 1 size: 78 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 7 CreateTime: 1 keySize: 4 valueSize: 6 sequence: -1 headerKeys: [] endTxnMarker: ABORT coordinatorEpoch: 0
Dumping /data/node-1/some-topic-11/00000000000000000000.log
Log starting offset: 0
baseOffset: 0 lastOffset: 0 count: 1 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 \
partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 407 \
CreateTime: 1 size: 85 magic: 2 compresscodec: none crc: 1 isvalid: true
| offset: 0 CreateTime: 1 keySize: -1 valueSize: 5 sequence: -1 headerKeys: []

"""


def test_a_marker_ends_what_its_producer_has_open_in_the_partition() -> None:
    assert parse_dump(DUMP.splitlines()) == {
        "some-topic": {
            (0, 0): RecordFate(7, 0, "aborted"),
            (0, 1): RecordFate(7, 0, "aborted"),
            (0, 2): RecordFate(8, 3, "committed"),
            (0, 4): RecordFate(7, 0, "open"),
            (0, 6): RecordFate(8, 5, "aborted"),
            (11, 0): RecordFate(-1, -1, "plain"),
        }
    }


def test_an_empty_log_has_no_fates() -> None:
    assert parse_dump(["Dumping /data/t-0/00000000000000000000.log", "Log starting offset: 0", ""]) == {"t": {}}


@pytest.mark.parametrize(
    "line",
    [
        "Found 17 invalid bytes at the end of 00000000000000000000.log",
        "baseOffset: 0 lastOffset: 0 count: 1 producerId: 7 producerEpoch: 0 x isTransactional: true isControl: false "
        "crc: 1 isvalid: false",
        "| CreateTime: 1",
    ],
    ids=["damaged end", "damaged batch", "no offset"],
)
def test_what_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(RuntimeError, match="not understood"):
        parse_dump([*DUMP.splitlines()[:2], line])
