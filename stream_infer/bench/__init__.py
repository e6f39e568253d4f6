"""How fast a user's own config scores a sample of their own events: ``stream-infer bench``.

Rule: the real line is measured, from a source in memory to a sink that keeps nothing; only source and load are made
here. `figures` and `advice` are pure: timings in, verdicts out. `sample` and `source` bring the events, `trials` runs a
line once, `study` decides what to run. Nothing here knows a config: `stream_infer.app.bench` builds the lines.
"""

from stream_infer.bench.sample import Events, avro_events, json_events
from stream_infer.bench.source import Tape
from stream_infer.bench.study import Plan, Report, study
from stream_infer.bench.trials import Bench, Variant

__all__ = ["Bench", "Events", "Plan", "Report", "Tape", "Variant", "avro_events", "json_events", "study"]
