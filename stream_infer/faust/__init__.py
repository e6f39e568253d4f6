"""The model inside an agent of faust-streaming: scored events as the service writes them, and no event lost.

Rule: nothing of Faust is imported here; an agent hands over its stream and its topics, and `parts` says what is
expected of them. The way of an event is `intake` (features, micro-batches) -> `batches` (columns, scores, bytes) ->
`deliveries` (published and acknowledged by the broker) -> `agent` (acknowledged to Faust).
"""

from stream_infer.faust.agent import score
from stream_infer.faust.batches import Format
from stream_infer.faust.windows import WindowHistory

__all__ = ["Format", "WindowHistory", "score"]
