"""Who this process is in its group, as the client says it.

Rule: a transaction's offsets go out in the name of a member, or not at all. A broker does not check the generation of
offsets that come from nobody (no member id, generation -1): it takes them, also from a process that has been thrown
out. The client gives just that answer between losing its membership and joining again. Generations (and the epochs of
members, where the broker assigns) count from 1.
"""

from __future__ import annotations

import struct

from stream_infer.errors import CommitFailed, FatalError

_MAGIC = b"CGMDv2:"
_GENERATION = struct.Struct("<i")


def check_membership(metadata: bytes, group_id: str) -> None:
    """See that the client's ``consumer_group_metadata()`` names a member.

    Its form is ``CGMDv2:``, the generation (int32, little endian), then group id and member id, each ended by a zero.

    Raises:
        CommitFailed: it names none.
        FatalError: it has another form.
    """
    begin = len(_MAGIC) + _GENERATION.size
    group, separator, rest = metadata[begin:].partition(b"\0")
    if not metadata.startswith(_MAGIC) or not separator or group != group_id.encode():
        raise FatalError(
            "the Kafka client describes its group membership in a form that is not known here; "
            "install the version of confluent-kafka that stream_infer asks for"
        )
    [generation] = _GENERATION.unpack_from(metadata, len(_MAGIC))
    if generation < 1 or rest.startswith(b"\0"):
        raise CommitFailed(f"committing offsets: no member of group {group_id} at this moment")


__all__ = ["check_membership"]
