"""Kafka: source, sink, administration, schema registry. The only importer of ``confluent_kafka``.

Rule: nothing here knows what scoring is. Names are exported from their modules; this package imports none of
them by itself, so that a command that needs no broker does not load the client.
"""
