"""What an ONNX file says of itself, read without the `onnx` package.

Rule: serving reads the graph's facts here before the runtime sees a byte of it. The walk follows only the protobuf
fields that can name an operator or a file; every length is checked against what is left, and nesting is bounded, so a
damaged or hostile file ends as a `ModelLoadError`. Where protobuf would merge a repeated field, the walk visits every
occurrence: it may see more than the runtime, never less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from stream_infer.bundle.protobuf import EMPTY, Damaged, Value, as_number, as_text, fields
from stream_infer.errors import ModelLoadError

ALLOWED_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
CONTRIB_DOMAIN = "com.microsoft"
"""ONNX Runtime's own operators, which its builds for Java and C# have, too. Only a bundle that says so holds them."""

NONDETERMINISTIC_OPS = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
MAX_GRAPH_NESTING = 32
"""Deepest nesting of graphs in `If`, `Loop` and `Scan` bodies. Real models stay below 5."""


@dataclass(slots=True)
class GraphFacts:
    """``opset`` maps a domain to its version; ``ops`` are ``(domain, op_type)`` pairs, those of sub-graphs included.

    ``external_data`` holds the location of every tensor that lies in another file, as the graph spells it.
    """

    ir: int = 0
    opset: dict[str, int] = field(default_factory=dict)
    ops: set[tuple[str, str]] = field(default_factory=set)
    external_data: set[str] = field(default_factory=set)

    @property
    def contrib_ops(self) -> bool:
        """True where ONNX Runtime's own operators are among them."""
        return any(domain == CONTRIB_DOMAIN for domain, _ in self.ops)

    @property
    def op_names(self) -> tuple[str, ...]:
        """Operators as `bundle.json` lists them: sorted, with the domain only where it is not a standard one."""
        return tuple(sorted(op if domain in ALLOWED_DOMAINS else f"{domain}.{op}" for domain, op in self.ops))


def read_graph_facts(model: bytes, source: str) -> GraphFacts:
    """Walk an ONNX ``ModelProto``.

    Raises:
        ModelLoadError: the bytes are not one.
    """
    facts = GraphFacts()
    try:
        _visit_model(memoryview(model), facts)
    except (Damaged, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{source} is not a valid ONNX model ({error}); export it again") from error
    if not facts.opset or not facts.ops:
        raise ModelLoadError(f"{source} is not a valid ONNX model (no operator set or no node); export it again")
    return facts


def graph_refusal(facts: GraphFacts, contrib_ops: bool = False) -> str | None:
    """Why a graph must not be loaded, or None: an operator outside the allow-list, or one that draws at random.

    Args:
        facts: of the graph.
        contrib_ops: ONNX Runtime's own operators (`CONTRIB_DOMAIN`) are allowed, too.
    """
    allowed = (*ALLOWED_DOMAINS, CONTRIB_DOMAIN) if contrib_ops else ALLOWED_DOMAINS
    foreign = sorted(f"{domain}.{op}" for domain, op in facts.ops if domain not in allowed)
    if foreign:
        return (
            f"it uses {', '.join(foreign)}; only operators of ai.onnx and ai.onnx.ml run everywhere: export it without "
            "runtime-specific optimisation or custom operators"
        )
    drawn = sorted(op for _, op in facts.ops if op in NONDETERMINISTIC_OPS)
    if drawn:
        return f"it uses {', '.join(drawn)}, so that its scores are not reproducible: remove the random operator"
    return None


# --- the walk: one small function per message; the numbers are those of onnx.proto ---


def _visit_model(model: Value, facts: GraphFacts) -> None:
    for number, value in fields(model):
        if number == 1:
            facts.ir = as_number(value)
        elif number == 7:
            _visit_graph(value, facts, 1)
        elif number == 8:
            domain, version = _opset_import(value)
            facts.opset[domain] = max(version, facts.opset.get(domain, 0))
        elif number == 20:
            _visit_training(value, facts)
        elif number == 25:
            _visit_function(value, facts)


def _visit_training(training: Value, facts: GraphFacts) -> None:
    for number, value in fields(training):
        if number in (1, 2):
            _visit_graph(value, facts, 1)


def _visit_function(function: Value, facts: GraphFacts) -> None:
    for number, value in fields(function):
        if number == 7:
            _visit_node(value, facts, 1)
        elif number == 11:
            _visit_attribute(value, facts, 1)


def _visit_graph(graph: Value, facts: GraphFacts, depth: int) -> None:
    if depth > MAX_GRAPH_NESTING:
        raise Damaged(f"graphs are nested deeper than {MAX_GRAPH_NESTING}")
    for number, value in fields(graph):
        if number == 1:
            _visit_node(value, facts, depth)
        elif number == 5:
            _visit_tensor(value, facts)
        elif number == 15:
            _visit_sparse_tensor(value, facts)


def _visit_node(node: Value, facts: GraphFacts, depth: int) -> None:
    op_type = domain = ""
    for number, value in fields(node):
        if number == 4:
            op_type = as_text(value)
        elif number == 7:
            domain = as_text(value)
        elif number == 5:
            _visit_attribute(value, facts, depth)
    facts.ops.add((domain, op_type))


def _visit_attribute(attribute: Value, facts: GraphFacts, depth: int) -> None:
    for number, value in fields(attribute, runs=_ATTRIBUTE_NUMBERS):
        if number in (5, 10):
            _visit_tensor(value, facts)
        elif number in (6, 11):
            _visit_graph(value, facts, depth + 1)
        elif number in (22, 23):
            _visit_sparse_tensor(value, facts)


def _visit_sparse_tensor(sparse: Value, facts: GraphFacts) -> None:
    for number, value in fields(sparse):
        if number in (1, 2):
            _visit_tensor(value, facts)


def _visit_tensor(tensor: Value, facts: GraphFacts) -> None:
    external = False
    location = ""
    for number, value in fields(tensor):
        if number == 13:
            external = True
            entry = dict(fields(value))
            if as_text(entry.get(1, EMPTY)) == "location":
                location = as_text(entry.get(2, EMPTY))
        elif number == 14:
            external = external or as_number(value) == 1
    if external:
        facts.external_data.add(location)


def _opset_import(value: Value) -> tuple[str, int]:
    parts = dict(fields(value))
    return as_text(parts.get(1, EMPTY)), as_number(parts.get(2, 0))


_ATTRIBUTE_NUMBERS = re.compile(rb"(?:\x3d.{4})++|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++", re.DOTALL)
"""A run of an attribute's ``floats`` (field 7) or ``ints`` (field 8). A tree ensemble holds millions, each a field of
its own: passing over a run at once keeps the walk short. Possessive, so that a run is never gone through twice."""
