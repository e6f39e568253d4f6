"""Avro schemas as trees that are safe to walk.

Rule: a `Node` that exists can be compiled and walked in time and memory proportional to the bytes of an
event. Whatever breaks that is refused here, once per schema, so that no decoder has to think of it:

- recursion (a few kilobytes of bytes could nest deeper than a stack);
- arrays and maps whose items may take zero bytes (six bytes could claim 2^60 items), or hold many types that do
  (each byte could claim thousands of nulls);
- nesting beyond `MAX_NESTING`, and trees that unfold to more than `MAX_NODES` nodes (a record of two fields
  of a record of two fields ... is short to write and endless to walk).

Named types are shared nodes; attributes this package has no use for (doc, order, custom properties) are
dropped. A logical type that does not fit its type is ignored, as the Avro specification asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from stream_infer.codecs.faults import SchemaRefused
from stream_infer.types import MAX_NESTING, AvroType

MAX_NODES = 20_000
"""Largest unfolded schema. The widest real ones (a few thousand columns) stay a magnitude below."""

MAX_DECIMAL_PRECISION = 1_000
"""Most digits of a decimal. Systems in use stop at 38 or 76; without a bound 10^scale could fill the memory."""

MAX_FREE_PER_BYTE = 8
"""Nodes without bytes (nulls, the records themselves) that an item of an array or map may hold for each of its bytes.

They cost time and memory that no byte of the event pays for. Real items hold about one.
"""

NO_DEFAULT: Final = object()
"""The default of a field that has none (None is the default ``null``)."""

PRIMITIVE_MIN_BYTES = {
    "null": 0,
    "boolean": 1,
    "int": 1,
    "long": 1,
    "float": 4,
    "double": 8,
    "bytes": 1,
    "string": 1,
}

LOGICAL_TYPES: dict[str, tuple[str, ...]] = {
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "decimal": ("bytes", "fixed"),
    "uuid": ("string", "fixed"),
    "duration": ("fixed",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of a record. ``default`` is in the JSON form of schemas, or `NO_DEFAULT`."""

    name: str
    node: Node
    default: Any = NO_DEFAULT
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the aliases: in this order an input is searched for the field."""
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One type. Which attributes are used follows from ``kind``.

    ``kind`` is a primitive's name or ``fixed`` (``size``), ``enum`` (``symbols``, ``default_symbol``), ``array``
    and ``map`` (one child), ``union`` (its branches as children) or ``record`` (``fields``). ``min_bytes`` is
    the length of the shortest encoding, ``depth`` the levels of records, arrays and maps, ``weight`` the
    number of nodes when everything shared is unfolded, ``unpaid`` the most nodes without bytes in any one value,
    less `MAX_FREE_PER_BYTE` for each byte of that value.
    """

    kind: str
    name: str = ""
    children: tuple[Node, ...] = ()
    fields: tuple[Field, ...] = ()
    symbols: tuple[str, ...] = ()
    default_symbol: str | None = None
    size: int = 0
    logical: str = ""
    precision: int = 0
    scale: int = 0
    min_bytes: int = 0
    depth: int = 0
    weight: int = 1
    unpaid: int = 0

    @property
    def branches(self) -> tuple[Node, ...]:
        """The branches of a union, or the node itself."""
        return self.children if self.kind == "union" else (self,)

    def scalars(self) -> Iterator[Node]:
        """The scalar types found through unions and arrays (not through records and maps)."""
        if self.kind in ("union", "array"):
            for child in self.children:
                yield from child.scalars()
        elif self.kind not in ("record", "map"):
            yield self

    def field(self, name: str) -> Field | None:
        """The field of a record by its name."""
        return next((field for field in self.fields if field.name == name), None)


def parse_schema(schema: str | Mapping[str, Any] | Sequence[Any]) -> Node:
    """Parse a schema given as JSON text, as its parsed JSON, or as the bare name of a primitive type.

    Raises:
        SchemaRefused: it is not valid, or not safe to decode with.
    """
    tree: Any = schema
    if isinstance(schema, str) and schema not in PRIMITIVE_MIN_BYTES:
        try:
            tree = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise SchemaRefused("the schema is not valid JSON") from error
    return _Parser().parse(tree, "", 0)


class _Parser:
    """One pass over one schema. ``_named`` maps full names to nodes; None marks a record still open."""

    def __init__(self) -> None:
        self._named: dict[str, Node | None] = {}

    def parse(self, tree: Any, namespace: str, level: int) -> Node:
        if level > MAX_NESTING:
            raise SchemaRefused(f"the schema nests deeper than {MAX_NESTING} levels")
        node = self._parse(tree, namespace, level)
        if node.weight > MAX_NODES:
            raise SchemaRefused(f"the schema unfolds to more than {MAX_NODES} types")
        return node

    def _parse(self, tree: Any, namespace: str, level: int) -> Node:
        if isinstance(tree, str):
            return self._reference(tree, namespace)
        if isinstance(tree, Mapping):
            return self._definition(tree, namespace, level)
        if isinstance(tree, Sequence):
            return self._union(tree, namespace, level)
        raise SchemaRefused("a type is neither a name, an object nor a union")

    def _reference(self, name: str, namespace: str) -> Node:
        if name in PRIMITIVE_MIN_BYTES:
            return _annotated({}, name, PRIMITIVE_MIN_BYTES[name])
        full = _full_name(name, namespace)
        full = full if full in self._named else name
        if full not in self._named:
            raise SchemaRefused(f"the type {name} is not defined")
        node = self._named[full]
        if node is None:
            raise SchemaRefused(f"the record {full} contains itself")
        return node

    def _definition(self, tree: Mapping[str, Any], namespace: str, level: int) -> Node:
        kind = tree.get("type")
        if isinstance(kind, str):
            if kind in PRIMITIVE_MIN_BYTES:
                return _annotated(tree, kind, PRIMITIVE_MIN_BYTES[kind])
            if kind in ("array", "map"):
                return self._container(tree, kind, namespace, level)
            if kind in ("record", "error", "enum", "fixed"):
                return self._named_type(tree, kind, namespace, level)
        return self.parse(kind, namespace, level + 1)

    def _container(self, tree: Mapping[str, Any], kind: str, namespace: str, level: int) -> Node:
        key = "items" if kind == "array" else "values"
        item = self.parse(tree.get(key), namespace, level + 1)
        whose = f"the {key} of a{'n' if kind == 'array' else ''} {kind}"
        if item.min_bytes == 0:
            raise SchemaRefused(f"{whose} may take zero bytes")
        if item.unpaid > 0:
            raise SchemaRefused(f"{whose} may hold many types in few bytes")
        return Node(
            kind,
            children=(item,),
            min_bytes=1,
            depth=item.depth + 1,
            weight=item.weight + 1,
            unpaid=-MAX_FREE_PER_BYTE,
        )

    def _union(self, tree: Sequence[Any], namespace: str, level: int) -> Node:
        branches = tuple(self.parse(branch, namespace, level + 1) for branch in tree)
        if not branches or any(branch.kind == "union" for branch in branches):
            raise SchemaRefused("a union is empty or holds a union")
        return Node(
            "union",
            children=branches,
            min_bytes=1 + min(branch.min_bytes for branch in branches),
            depth=max(branch.depth for branch in branches),
            weight=1 + sum(branch.weight for branch in branches),
            unpaid=max(branch.unpaid for branch in branches) - MAX_FREE_PER_BYTE,
        )

    def _named_type(self, tree: Mapping[str, Any], kind: str, namespace: str, level: int) -> Node:
        name = tree.get("name")
        if not isinstance(name, str) or not name:
            raise SchemaRefused(f"a type of kind {kind} has no name")
        own_namespace = tree.get("namespace", namespace)
        full = _full_name(name, own_namespace if isinstance(own_namespace, str) else "")
        if full in self._named:
            raise SchemaRefused(f"the type {full} is defined twice")
        self._named[full] = None
        node = self._body(tree, kind, full, level)
        self._named[full] = node
        return node

    def _body(self, tree: Mapping[str, Any], kind: str, full: str, level: int) -> Node:
        if kind == "enum":
            return _enum(tree, full)
        if kind == "fixed":
            return _fixed(tree, full)
        return self._record(tree, full, level)

    def _record(self, tree: Mapping[str, Any], full: str, level: int) -> Node:
        entries = tree.get("fields")
        if not isinstance(entries, Sequence) or isinstance(entries, str):
            raise SchemaRefused(f"the record {full} has no list of fields")
        fields = tuple(self._field(entry, full, level) for entry in entries)
        if len({field.name for field in fields}) != len(fields):
            raise SchemaRefused(f"the record {full} has two fields of one name")
        return Node(
            "record",
            name=full,
            fields=fields,
            min_bytes=sum(field.node.min_bytes for field in fields),
            depth=1 + max((field.node.depth for field in fields), default=0),
            weight=1 + sum(field.node.weight for field in fields),
            unpaid=1 + sum(field.node.unpaid for field in fields),
        )

    def _field(self, entry: Any, record: str, level: int) -> Field:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise SchemaRefused(f"a field of the record {record} has no name")
        node = self.parse(entry.get("type"), _namespace(record), level + 1)
        aliases = entry.get("aliases", ())
        if not _are_names(aliases):
            raise SchemaRefused(f"the aliases of a field of the record {record} are not a list of names")
        return Field(entry["name"], node, entry.get("default", NO_DEFAULT), tuple(aliases))


def _enum(tree: Mapping[str, Any], full: str) -> Node:
    symbols, default = tree.get("symbols"), tree.get("default")
    if not symbols or not _are_names(symbols):
        raise SchemaRefused(f"the enum {full} has no symbols")
    if default is not None and default not in symbols:
        raise SchemaRefused(f"the default of the enum {full} is none of its symbols")
    return Node(
        "enum", name=full, symbols=tuple(symbols), default_symbol=default, min_bytes=1, unpaid=-MAX_FREE_PER_BYTE
    )


def _are_names(names: Any) -> bool:
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    return is_list and all(isinstance(name, str) for name in names)


def _fixed(tree: Mapping[str, Any], full: str) -> Node:
    size = tree.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise SchemaRefused(f"the fixed type {full} has no size")
    return _annotated(tree, "fixed", size, name=full, size=size)


def _annotated(tree: Mapping[str, Any], kind: str, min_bytes: int, name: str = "", size: int = 0) -> Node:
    """A scalar with its logical type, where that is one we know and fits."""
    unpaid = int(min_bytes == 0) - MAX_FREE_PER_BYTE * min_bytes
    plain = Node(kind, name=name, size=size, min_bytes=min_bytes, unpaid=unpaid)
    logical = tree.get("logicalType")
    if not isinstance(logical, str) or kind not in LOGICAL_TYPES.get(logical, ()):
        return plain
    precision, scale = tree.get("precision", 0), tree.get("scale", 0)
    if logical != "decimal":
        return replace(plain, logical=logical)
    if not _is_decimal(precision, scale):
        return plain
    return replace(plain, logical=logical, precision=precision, scale=scale)


def _is_decimal(precision: Any, scale: Any) -> bool:
    numbers = isinstance(precision, int) and isinstance(scale, int)
    return numbers and 0 < precision <= MAX_DECIMAL_PRECISION and 0 <= scale <= precision


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _namespace(full_name: str) -> str:
    return full_name.rpartition(".")[0]


def type_json(node: Node, defined: set[str] | None = None) -> AvroType:
    """The JSON form of a type: aliases dropped, defaults kept, named types spelt out at their first use.

    Args:
        node: the type.
        defined: full names already spelt out in the schema this becomes a part of; added to.
    """
    defined = set() if defined is None else defined
    if node.kind == "union":
        return [type_json(branch, defined) for branch in node.children]
    if node.kind == "array":
        return {"type": "array", "items": type_json(node.children[0], defined)}
    if node.kind == "map":
        return {"type": "map", "values": type_json(node.children[0], defined)}
    if node.name in defined:
        return node.name
    if node.name:
        defined.add(node.name)
        return _named_json(node, defined)
    return {"type": node.kind, **_logical_json(node)} if node.logical else node.kind


def _named_json(node: Node, defined: set[str]) -> dict[str, Any]:
    head: dict[str, Any] = {"type": node.kind, "name": node.name}
    if node.kind == "fixed":
        return {**head, "size": node.size, **_logical_json(node)}
    if node.kind == "enum":
        default = {} if node.default_symbol is None else {"default": node.default_symbol}
        return {**head, "symbols": list(node.symbols), **default}
    return {**head, "fields": [field_json(field, defined) for field in node.fields]}


def field_json(field: Field, defined: set[str]) -> dict[str, Any]:
    """The JSON form of a record's field; ``defined`` as for `type_json`."""
    default = {} if field.default is NO_DEFAULT else {"default": field.default}
    return {"name": field.name, "type": type_json(field.node, defined), **default}


def _logical_json(node: Node) -> dict[str, Any]:
    if not node.logical:
        return {}
    decimal = {"precision": node.precision, "scale": node.scale} if node.logical == "decimal" else {}
    return {"logicalType": node.logical, **decimal}
