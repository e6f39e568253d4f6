"""Avro bytes of one schema to Avro bytes of another: schema resolution for carried fields.

Rule: bytes are copied where both schemas encode a type identically, and rewritten only where they differ.
Resolution follows the Avro specification: fields by name and alias, defaults for what the writer lacks,
promotion (int, long, float, double; string and bytes), unions by the first branch that fits. Two additions, on
the safe side: a logical type that says another unit or scale does not fit (plain resolution would change the
value's meaning in silence), and a branch that does not fit rejects only the events that use it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from stream_infer.codecs.faults import BadEvent, Fault, fail
from stream_infer.codecs.schema import NO_DEFAULT, Field, Node
from stream_infer.codecs.walk import Read, check_block_end, read_block, read_long, reader
from stream_infer.codecs.write import default_bytes, write_long
from stream_infer.types import Status

Resolve: TypeAlias = Callable[[bytes, int], tuple[bytes, int]]

PROMOTIONS: dict[str, tuple[str, ...]] = {
    "int": ("int", "long", "float", "double"),
    "long": ("long", "float", "double"),
    "float": ("float", "double"),
    "string": ("string", "bytes"),
    "bytes": ("bytes", "string"),
}
"""What a written kind may be read as, best first. Kinds not named here are read as themselves only."""


def fits(written: Node, read: Node) -> bool:
    """True where a written type (no union) may be read as another (no union), by its outermost kind."""
    if read.kind not in PROMOTIONS.get(written.kind, (written.kind,)):
        return False
    if written.logical and read.logical:
        return (written.logical, written.scale) == (read.logical, read.scale)
    return written.kind != "fixed" or written.size == read.size


def best_branch(written: Node, read: Node) -> int | None:
    """Index of the branch of ``read`` that a written type (no union) is read as.

    The same named type first, then the same kind, then the nearest promotion.
    """
    candidates = [index for index, branch in enumerate(read.branches) if fits(written, branch)]
    order = PROMOTIONS.get(written.kind, (written.kind,))

    def rank(index: int) -> tuple[int, bool]:
        branch = read.branches[index]
        return order.index(branch.kind), branch.name.rpartition(".")[2] != written.name.rpartition(".")[2]

    return min(candidates, key=rank, default=None)


def same_encoding(written: Node, read: Node) -> bool:
    """True where every encoding of ``written`` is the encoding of the same value of ``read``."""
    if written is read:
        return True
    if (written.kind, read.kind) in (("int", "long"), ("string", "bytes")):
        return fits(written, read)
    if written.kind != read.kind or (written.kind not in ("union", "record") and not fits(written, read)):
        return False
    if written.kind == "record":
        return len(written.fields) == len(read.fields) and all(
            theirs.name in ours.names and same_encoding(theirs.node, ours.node)
            for theirs, ours in zip(written.fields, read.fields, strict=True)
        )
    return (
        written.symbols == read.symbols
        and len(written.children) == len(read.children)
        and all(map(same_encoding, written.children, read.children))
    )


def match_fields(written: Node, read: Node) -> dict[str, Field]:
    """Names of the writer's fields with the fields of the reader's record they fill: by name, else by alias."""
    present = {field.name for field in written.fields}
    matches: dict[str, Field] = {}
    for ours in read.fields:
        name = next((name for name in ours.names if name in present and name not in matches), None)
        if name is not None:
            matches[name] = ours
    return matches


def resolver(written: Node, read: Node) -> Resolve:
    """Compile the way from one type to another.

    Returns:
        ``resolve(buffer, position) -> (bytes of the reader's type, next position)``. It raises BadEvent with
        `Status.WRONG_TYPE` or `Status.MISSING_FIELD` where the value has no counterpart, and whatever
        `walk.reader` raises on bytes that are wrong.
    """
    if same_encoding(written, read):
        return _copy(reader(written, keep=False))
    if written.kind == "union":
        return _from_union([resolver(branch, read) for branch in written.children])
    if read.kind == "union":
        return _to_union(written, read)
    if not fits(written, read):
        return _misfit(written, read)
    if written.kind == "record":
        return _record(written, read)
    if written.kind == "enum":
        return _enum(written, read)
    if written.kind in ("array", "map"):
        return _blocks(written, resolver(written.children[0], read.children[0]))
    return _promoted(written, read)


def _copy(skip: Read) -> Resolve:
    def copy(buffer: bytes, position: int) -> tuple[bytes, int]:
        _, end = skip(buffer, position)
        return buffer[position:end], end

    return copy


def _misfit(written: Node, read: Node) -> Resolve:
    fault = Fault(Status.WRONG_TYPE, f"expected {_words(read)}, found {_words(written)}")

    def misfit(_buffer: bytes, _position: int) -> tuple[bytes, int]:
        return fail(fault)

    return misfit


def _words(node: Node) -> str:
    return f"{node.kind} ({node.logical})" if node.logical else node.kind


def _from_union(branches: list[Resolve]) -> Resolve:
    def from_union(buffer: bytes, position: int) -> tuple[bytes, int]:
        index, position = read_long(buffer, position)
        if not 0 <= index < len(branches):
            raise BadEvent(Status.MALFORMED, "a union index is out of range")
        return branches[index](buffer, position)

    return from_union


def _to_union(written: Node, read: Node) -> Resolve:
    index = best_branch(written, read)
    if index is None:
        return _misfit(written, read)
    head = write_long(index)
    resolve = resolver(written, read.children[index])

    def to_union(buffer: bytes, position: int) -> tuple[bytes, int]:
        value, position = resolve(buffer, position)
        return head + value, position

    return to_union


def _promoted(written: Node, read: Node) -> Resolve:
    """Numbers to wider ones: int and long to float and double, float to double, bytes to string."""
    if read.kind == "string":
        return _copy(reader(Node("string", min_bytes=1)))
    number = reader(written)
    pack = struct.Struct("<f" if read.kind == "float" else "<d").pack

    def promoted(buffer: bytes, position: int) -> tuple[bytes, int]:
        value, position = number(buffer, position)
        return pack(float(value)), position

    return promoted


def _enum(written: Node, read: Node) -> Resolve:
    known = {symbol: write_long(index) for index, symbol in enumerate(read.symbols)}
    other = None if read.default_symbol is None else known[read.default_symbol]
    codes = [known.get(symbol, other) for symbol in written.symbols]
    fault = Fault(Status.WRONG_TYPE, f"expected a symbol of the enum {read.name}, found another")

    def enum(buffer: bytes, position: int) -> tuple[bytes, int]:
        index, position = read_long(buffer, position)
        if not 0 <= index < len(codes):
            raise BadEvent(Status.MALFORMED, "an enum index is out of range")
        code = codes[index]
        if code is None:
            fail(fault)
        return code, position

    return enum


def _blocks(written: Node, item: Resolve) -> Resolve:
    """Arrays and maps: the blocks stay as they are cut, their items are rewritten."""
    keyed = written.kind == "map"
    copy_key = _copy(reader(Node("string", min_bytes=1)))
    min_item_bytes = written.children[0].min_bytes + keyed

    def blocks(buffer: bytes, position: int) -> tuple[bytes, int]:
        parts: list[bytes] = []
        while True:
            count, position, end = read_block(buffer, position, min_item_bytes)
            parts.append(write_long(count))
            if count == 0:
                return b"".join(parts), position
            for _ in range(count):
                if keyed:
                    key, position = copy_key(buffer, position)
                    parts.append(key)
                value, position = item(buffer, position)
                parts.append(value)
            check_block_end(position, end)

    return blocks


def _record(written: Node, read: Node) -> Resolve:
    """Fields are rewritten in the writer's order and joined in the reader's."""
    places = {field.name: place for place, field in enumerate(read.fields)}
    template = [_absent(field) for field in read.fields]
    steps: list[tuple[str, Resolve, int]] = []
    matches = match_fields(written, read)
    for field in written.fields:
        target = matches.get(field.name)
        if target is None:
            steps.append((field.name, _copy(reader(field.node, keep=False)), -1))
        else:
            steps.append((field.name, resolver(field.node, target.node), places[target.name]))
    filled = {place for _, _, place in steps}
    missing = [field for place, field in enumerate(read.fields) if place not in filled and template[place] is None]

    def record(buffer: bytes, position: int) -> tuple[bytes, int]:
        if missing:
            raise BadEvent(Status.MISSING_FIELD, "absent and without a default").within(missing[0].name)
        parts = list(template)
        for name, resolve, place in steps:
            try:
                value, position = resolve(buffer, position)
            except BadEvent as bad:
                raise bad.within(name) from None
            if place >= 0:
                parts[place] = value
        return b"".join(part for part in parts if part is not None), position

    return record


def _absent(field: Field) -> bytes | None:
    """What stands for a field that the writer lacks; None where it has no default."""
    return None if field.default is NO_DEFAULT else default_bytes(field)
