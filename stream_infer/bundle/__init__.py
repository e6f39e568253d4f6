"""The model bundle: one file that carries a model, what it expects, what it answers, and the proof of it.

Rule: values and files only. Nothing here runs a model or decodes an event.
"""

from stream_infer.bundle.container import Container, ContainerError, encode_rows, read_container
from stream_infer.bundle.golden import Envelope, GoldenAnswers, GoldenEvents
from stream_infer.bundle.graph import GraphFacts, graph_refusal, read_graph_facts
from stream_infer.bundle.manifest import Manifest
from stream_infer.bundle.reader import ModelBundle
from stream_infer.bundle.writer import write_bundle

__all__ = [
    "Container",
    "ContainerError",
    "Envelope",
    "GoldenAnswers",
    "GoldenEvents",
    "GraphFacts",
    "Manifest",
    "ModelBundle",
    "encode_rows",
    "graph_refusal",
    "read_container",
    "read_graph_facts",
    "write_bundle",
]
