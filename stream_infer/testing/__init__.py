"""Public fakes, conformance checks and made-up payments, for our tests and for authors of plug-ins.

Rule: a fake behaves as the real thing is documented to, faults are scripted as data, and nothing sleeps.
"""

from stream_infer.testing.fake_sinks import FakeSink, FakeTransactionalSink
from stream_infer.testing.fake_source import FakeSource
from stream_infer.testing.fakes import FakeClock, FakeWork, Killed, ManualExecutor, RecordingInstrument, records

__all__ = [
    "FakeClock",
    "FakeSink",
    "FakeSource",
    "FakeTransactionalSink",
    "FakeWork",
    "Killed",
    "ManualExecutor",
    "RecordingInstrument",
    "records",
]
