"""Codecs: bytes to columns, and scored columns to bytes.

Rule: nothing leaves this room but the columns of `stream_infer.types`; how a value is spelt in Avro, JSON or Python
is known here only, and a bad event is a status. The way in of Avro is `writers` (which schema) -> `opcodes` (the
kernel's program for it) -> `columnar` (the kernel fills the columns); what the kernel is not sure of goes through
`program` (one pass over the bytes) -> `layout` and `features` (cells). The way out is `output` (the schema) ->
`scored_encoder` -> `row_writer` (the kernel joins the rows).
"""

from stream_infer.codecs.avro_decoder import AvroDecoder
from stream_infer.codecs.avro_encoder import AvroEncoder
from stream_infer.codecs.json_decoder import JsonDecoder
from stream_infer.codecs.json_encoder import JsonEncoder
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
