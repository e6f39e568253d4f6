package io.github.streaminfer.scorer.event;

/** Where an event comes from: what tells a repeat. Immutable. */
public final class Place {
    private final String topic;
    private final int partition;
    private final long offset;
    private final long timestampMs;

    /**
     * Names a record of a topic.
     *
     * @param topic its topic
     * @param partition its partition
     * @param offset its offset
     * @param timestampMs its own timestamp in milliseconds since the epoch, or
     *     {@link io.github.streaminfer.scorer.Event#NO_TIMESTAMP}
     */
    public Place(String topic, int partition, long offset, long timestampMs) {
        this.topic = topic;
        this.partition = partition;
        this.offset = offset;
        this.timestampMs = timestampMs;
    }

    /**
     * The topic.
     *
     * @return its name
     */
    public String topic() {
        return topic;
    }

    /**
     * The partition.
     *
     * @return its number
     */
    public int partition() {
        return partition;
    }

    /**
     * The offset.
     *
     * @return within the partition
     */
    public long offset() {
        return offset;
    }

    /**
     * The record's own timestamp.
     *
     * @return milliseconds since the epoch, or {@link io.github.streaminfer.scorer.Event#NO_TIMESTAMP}
     */
    public long timestampMs() {
        return timestampMs;
    }
}
