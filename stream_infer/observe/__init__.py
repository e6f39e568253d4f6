"""What the outside may know of a running pipeline: metrics, logs, health over HTTP, and a watchdog.

Rule: nothing here decides anything about events. The pipeline states facts to a `stream_infer.ports.Instrument`;
each module renders the same facts for one audience. `stream_infer.app` makes the objects and the threads.
"""
