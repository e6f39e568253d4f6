"""Codecs: bytes to columns, and scored columns to bytes.

Rule: nothing leaves this room but the columns of `stream_infer.types`; how a value is spelt in Avro, JSON or Python
is known here only, and a bad event is a status. The way in is `writers` (which schema) -> `program` (one pass over
the bytes) -> `layout` and `features` (cells), the way out `output` (the schema) -> `encoders`.
"""

from stream_infer.codecs.avro_decoder import AvroDecoder
from stream_infer.codecs.encoders import AvroEncoder, JsonEncoder
from stream_infer.codecs.json_decoder import JsonDecoder
from stream_infer.codecs.output import OutputSchema, output_schema
from stream_infer.codecs.plain import decode_mappings, decode_table
from stream_infer.codecs.schema_files import FileSchemaSource
from stream_infer.codecs.writers import FixedSchema, FramedSchemas, WriterSchemas

__all__ = [
    "AvroDecoder",
    "AvroEncoder",
    "FileSchemaSource",
    "FixedSchema",
    "FramedSchemas",
    "JsonDecoder",
    "JsonEncoder",
    "OutputSchema",
    "WriterSchemas",
    "decode_mappings",
    "decode_table",
    "output_schema",
]
