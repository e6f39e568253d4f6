package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.Status;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;

/**
 * Reads the Avro bytes of events written with one schema. May be used by many threads at once.
 *
 * <p>Every byte is checked: exactly the encodings that the Avro specification allows are read, and the work is in
 * proportion to the length of the event, whatever it claims. Avro's own reader is lenient where a stream processor must
 * not be (booleans other than 0 and 1, text that is no UTF-8, bytes behind the event) and believes the lengths it reads.
 *
 * <p>The record keeps the writer's schema: how a field is found in it, and what it means, is the scorer's task. Logical
 * types are not applied.
 */
public final class EventReader {
    private final ValueReader reader;

    /**
     * Prepares for one writer.
     *
     * @param writer the schema that the events were written with
     * @throws IllegalArgumentException it is no record, or not safe to read with: it contains itself, or a few bytes could
     *     claim items without end
     */
    public EventReader(Schema writer) {
        if (writer.getType() != Schema.Type.RECORD) {
            throw new IllegalArgumentException(
                    "an event must be a record, and its schema says " + writer.getType().getName());
        }
        reader = ValueReader.compile(writer);
    }

    /**
     * Reads one event.
     *
     * @param bytes holds it
     * @param start where it begins, behind any framing; it ends with the bytes
     * @return its fields; text is {@code Utf8}
     * @throws RejectedEvent the bytes are not one event of this schema
     */
    public GenericRecord read(byte[] bytes, int start) throws RejectedEvent {
        Cursor cursor = new Cursor(bytes, start);
        try {
            GenericRecord record = (GenericRecord) reader.read(cursor);
            if (cursor.remaining() > 0) {
                throw new BadBytes(Status.TRAILING_BYTES, cursor.remaining() + " bytes are left after the event");
            }
            return record;
        } catch (BadBytes bad) {
            throw bad.asReject();
        }
    }
}
