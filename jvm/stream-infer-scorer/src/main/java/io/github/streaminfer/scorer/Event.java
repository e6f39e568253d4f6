package io.github.streaminfer.scorer;

import org.apache.avro.generic.IndexedRecord;

/**
 * A record as a log carries it: a value, and what features may read beside it.
 *
 * <p>Implement it over the record of your engine, so that nothing is copied; {@link #of(IndexedRecord)} is for models
 * whose features read the value only.
 */
public interface Event {
    /** The timestamp of a record that has none. */
    long NO_TIMESTAMP = -1;

    /**
     * The value. Its own schema says how its fields are read, so any version of the schema that has the needed fields
     * will do.
     *
     * @return generic or specific; null for a tombstone
     */
    IndexedRecord value();

    /**
     * The record's key, for the feature path {@code $key}.
     *
     * @return its bytes, or null
     */
    byte[] key();

    /**
     * The record's own timestamp, for the feature path {@code $timestamp}.
     *
     * @return milliseconds since the epoch, or {@link #NO_TIMESTAMP}
     */
    long timestampMs();

    /**
     * The last header of a name, for feature paths {@code $headers.NAME}.
     *
     * @param name the header's name
     * @return its bytes, or null
     */
    byte[] lastHeader(String name);

    /**
     * An event of a value alone.
     *
     * @param value its value
     * @return an event without key, timestamp and headers
     */
    static Event of(IndexedRecord value) {
        return new ValueOnly(value);
    }
}
