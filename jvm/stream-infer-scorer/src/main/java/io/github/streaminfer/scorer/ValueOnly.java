package io.github.streaminfer.scorer;

import org.apache.avro.generic.IndexedRecord;

/** An event without key, timestamp and headers. */
final class ValueOnly implements Event {
    private final IndexedRecord value;

    ValueOnly(IndexedRecord value) {
        this.value = value;
    }

    @Override
    public IndexedRecord value() {
        return value;
    }

    @Override
    public byte[] key() {
        return null;
    }

    @Override
    public long timestampMs() {
        return NO_TIMESTAMP;
    }

    @Override
    public byte[] lastHeader(String name) {
        return null;
    }
}
