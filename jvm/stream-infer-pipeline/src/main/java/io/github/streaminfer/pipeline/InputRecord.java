package io.github.streaminfer.pipeline;

import io.github.streaminfer.scorer.event.Place;
import java.util.List;

/** A record of an input topic, as Kafka has it. Immutable, as long as nobody writes into its bytes. */
public final class InputRecord {
    private final Place place;
    private final byte[] key;
    private final byte[] value;
    private final List<Header> headers;

    /**
     * A record.
     *
     * @param place where it lies, and its timestamp
     * @param key may be null
     * @param value null is a tombstone
     * @param headers in their order
     */
    public InputRecord(Place place, byte[] key, byte[] value, List<Header> headers) {
        this.place = place;
        this.key = key;
        this.value = value;
        this.headers = List.copyOf(headers);
    }

    /**
     * Where it lies, and its timestamp.
     *
     * @return never null
     */
    public Place place() {
        return place;
    }

    /**
     * The key.
     *
     * @return not a copy; may be null
     */
    public byte[] key() {
        return key;
    }

    /**
     * The value.
     *
     * @return not a copy; null is a tombstone
     */
    public byte[] value() {
        return value;
    }

    /**
     * The headers.
     *
     * @return in their order, unmodifiable
     */
    public List<Header> headers() {
        return headers;
    }
}
