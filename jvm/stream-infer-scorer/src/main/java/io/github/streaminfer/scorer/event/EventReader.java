package io.github.streaminfer.scorer.event;

import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;

/**
 * Reads the Avro bytes of events written with one schema, and checks all of them. For one thread at a time.
 *
 * <p>The record keeps the writer's schema: how a field is found in it, and what it means, is the scorer's task.
 */
public final class EventReader {
    /**
     * Prepares for one writer.
     *
     * @param writer the schema that the events were written with, a record
     */
    public EventReader(Schema writer) {
        throw new UnsupportedOperationException();
    }

    /**
     * Reads one event.
     *
     * @param bytes holds it
     * @param start where it begins, behind any framing; it ends with the bytes
     * @return its fields
     * @throws RejectedEvent the bytes are not one event of this schema
     */
    public GenericRecord read(byte[] bytes, int start) throws RejectedEvent {
        throw new UnsupportedOperationException();
    }
}
