package io.github.streaminfer.pipeline;

import java.util.List;

/** A record to publish. Immutable, as long as nobody writes into its bytes. */
public final class OutputRecord {
    private final String topic;
    private final Integer partition;
    private final byte[] key;
    private final byte[] value;
    private final Long timestampMs;
    private final List<Header> headers;

    OutputRecord(
            String topic, Integer partition, byte[] key, byte[] value, Long timestampMs, List<Header> headers) {
        this.topic = topic;
        this.partition = partition;
        this.key = key;
        this.value = value;
        this.timestampMs = timestampMs;
        this.headers = List.copyOf(headers);
    }

    /**
     * Where it belongs.
     *
     * @return the sink's topic, a route's, or that of the dead letters
     */
    public String topic() {
        return topic;
    }

    /**
     * The partition that the config asks for.
     *
     * @return null: that of the key, as Kafka's own producer chooses it
     */
    public Integer partition() {
        return partition;
    }

    /**
     * The key, which is the input's.
     *
     * @return not a copy; may be null
     */
    public byte[] key() {
        return key;
    }

    /**
     * The value.
     *
     * @return not a copy; may be null in a dead letter
     */
    public byte[] value() {
        return value;
    }

    /**
     * The timestamp, which is the input's.
     *
     * @return milliseconds since the epoch; null where the input had none
     */
    public Long timestampMs() {
        return timestampMs;
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
