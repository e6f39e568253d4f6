package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.Status;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;

/** Reads values of one type; compiled once from a schema that is safe to read with. */
interface ValueReader {
    /** The value at the cursor, as Avro's generic classes have it. */
    Object read(Cursor cursor) throws BadBytes;

    /**
     * Compiles.
     *
     * @throws IllegalArgumentException the schema is not safe to read with
     */
    static ValueReader compile(Schema schema) {
        return new Compiler().compile(schema);
    }

    /** Shares the readers of named types, so that compiling is linear in the schema's text. */
    final class Compiler {
        /** Null for a type that is still open. */
        private final Map<String, ValueReader> named = new HashMap<>();

        private final Map<String, Integer> namedBytes = new HashMap<>();

        ValueReader compile(Schema schema) {
            switch (schema.getType()) {
                case NULL:
                    return cursor -> null;
                case BOOLEAN:
                    return Cursor::readBoolean;
                case INT:
                    return Cursor::readInt;
                case LONG:
                    return Cursor::readLong;
                case FLOAT:
                    return Cursor::readFloat;
                case DOUBLE:
                    return Cursor::readDouble;
                case BYTES:
                    return cursor -> ByteBuffer.wrap(cursor.readBytes());
                case STRING:
                    return Cursor::readText;
                case FIXED:
                    return cursor -> new GenericData.Fixed(schema, cursor.readFixed(schema.getFixedSize()));
                case ENUM:
                    return enumeration(schema);
                case UNION:
                    return union(schema);
                case ARRAY:
                    return array(schema);
                case MAP:
                    return map(schema);
                default:
                    return record(schema);
            }
        }

        private static ValueReader enumeration(Schema schema) {
            Object[] symbols = schema.getEnumSymbols().stream()
                    .map(symbol -> new GenericData.EnumSymbol(schema, symbol))
                    .toArray();
            return cursor -> symbols[cursor.readIndex(symbols.length, "an enum")];
        }

        private ValueReader union(Schema schema) {
            ValueReader[] branches = schema.getTypes().stream().map(this::compile).toArray(ValueReader[]::new);
            return cursor -> branches[cursor.readIndex(branches.length, "a union")].read(cursor);
        }

        private ValueReader array(Schema schema) {
            ValueReader item = compile(schema.getElementType());
            int itemBytes = itemBytes(schema.getElementType(), "the items of an array");
            return cursor -> {
                List<Object> values = new ArrayList<>();
                for (Block block = Block.read(cursor, itemBytes);
                        block.count > 0;
                        block = Block.read(cursor, itemBytes)) {
                    for (long index = 0; index < block.count; index++) {
                        values.add(item.read(cursor));
                    }
                    block.requireEnd(cursor);
                }
                return values;
            };
        }

        private ValueReader map(Schema schema) {
            ValueReader value = compile(schema.getValueType());
            int entryBytes = itemBytes(schema.getValueType(), "the values of a map") + 1;
            return cursor -> {
                // In the order of the event, so that a map that is carried keeps its bytes.
                Map<Object, Object> values = new LinkedHashMap<>();
                for (Block block = Block.read(cursor, entryBytes);
                        block.count > 0;
                        block = Block.read(cursor, entryBytes)) {
                    for (long index = 0; index < block.count; index++) {
                        values.put(cursor.readText(), value.read(cursor));
                    }
                    block.requireEnd(cursor);
                }
                return values;
            };
        }

        private ValueReader record(Schema schema) {
            String name = schema.getFullName();
            if (named.containsKey(name)) {
                ValueReader known = named.get(name);
                if (known == null) {
                    throw new IllegalArgumentException("the record " + name + " contains itself");
                }
                return known;
            }
            named.put(name, null);
            List<Schema.Field> fields = schema.getFields();
            ValueReader[] readers =
                    fields.stream().map(field -> compile(field.schema())).toArray(ValueReader[]::new);
            ValueReader reader = cursor -> {
                GenericData.Record record = new GenericData.Record(schema);
                for (int index = 0; index < readers.length; index++) {
                    try {
                        record.put(index, readers[index].read(cursor));
                    } catch (BadBytes bad) {
                        throw bad.within(fields.get(index).name());
                    }
                }
                return record;
            };
            named.put(name, reader);
            return reader;
        }

        private int itemBytes(Schema item, String what) {
            int bytes = minBytes(item);
            if (bytes == 0) {
                throw new IllegalArgumentException(what + " may take zero bytes");
            }
            return bytes;
        }

        /** The length of the shortest encoding. The schema has been compiled, so it does not contain itself. */
        private int minBytes(Schema schema) {
            switch (schema.getType()) {
                case NULL:
                    return 0;
                case FLOAT:
                    return Float.BYTES;
                case DOUBLE:
                    return Double.BYTES;
                case FIXED:
                    return schema.getFixedSize();
                case UNION:
                    return 1 + schema.getTypes().stream().mapToInt(this::minBytes).min().orElse(0);
                case RECORD:
                    if (!namedBytes.containsKey(schema.getFullName())) {
                        int sum = schema.getFields().stream()
                                .mapToInt(field -> minBytes(field.schema()))
                                .sum();
                        namedBytes.put(schema.getFullName(), sum);
                    }
                    return namedBytes.get(schema.getFullName());
                default:
                    return 1;
            }
        }
    }

    /** The head of a block of an array or map. */
    final class Block {
        /** Items; 0 ends the list. */
        final long count;
        /** Where the block must end; -1 where it does not say. */
        private final long end;

        private Block(long count, long end) {
            this.count = count;
            this.end = end;
        }

        /** Reads a head. The count is checked against the bytes that are left. */
        static Block read(Cursor cursor, int itemBytes) throws BadBytes {
            long count = cursor.readLong();
            long end = -1;
            if (count < 0) {
                count = -count;
                long size = cursor.readLong();
                if (size < 0) {
                    throw new BadBytes(Status.MALFORMED, "a block has a negative size");
                }
                end = cursor.position() + size;
            }
            // The least long stays negative when it is negated.
            if (count < 0 || count > cursor.remaining() / itemBytes) {
                throw BadBytes.truncated();
            }
            return new Block(count, end);
        }

        void requireEnd(Cursor cursor) throws BadBytes {
            if (end != -1 && end != cursor.position()) {
                throw new BadBytes(Status.MALFORMED, "a block does not end where it says");
            }
        }
    }
}
