package io.github.streaminfer.pipeline;

import java.io.Serializable;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * One service, as its TOML file or the properties exported from it say. Immutable; may be sent to other machines.
 *
 * <p>The keys, their meaning and their defaults are those of stream_infer in Python. An unknown key is an error. What an
 * engine does in its own way ({@link #ignored}) has no effect, and what the JVM cannot do is refused.
 */
public final class Config implements Serializable {
    private static final long serialVersionUID = 1L;

    private Config() {}

    /**
     * Reads a file.
     *
     * @param file ends with {@code .toml} or {@code .properties}
     * @return the config
     * @throws ConfigException it cannot be read, or has problems: all of them are named
     */
    public static Config load(Path file) {
        throw new UnsupportedOperationException();
    }

    /**
     * The service's name.
     *
     * @return {@code name}
     */
    public String name() {
        throw new UnsupportedOperationException();
    }

    /**
     * This replica's name.
     *
     * @return {@code instance}, or null
     */
    public String instance() {
        throw new UnsupportedOperationException();
    }

    /**
     * The input topics.
     *
     * @return {@code source.topics}
     */
    public List<String> topics() {
        throw new UnsupportedOperationException();
    }

    /**
     * The consumer group.
     *
     * @return {@code source.group_id}
     */
    public String groupId() {
        throw new UnsupportedOperationException();
    }

    /**
     * Where a partition without a committed offset is read from.
     *
     * @return {@code source.start}: {@code earliest}, {@code latest} or {@code fail}
     */
    public String start() {
        throw new UnsupportedOperationException();
    }

    /**
     * The partitions of the outputs.
     *
     * @return true where {@code sink.partition} is {@code input}
     */
    public boolean keepsPartition() {
        throw new UnsupportedOperationException();
    }

    /**
     * All topics that are written: the sink's, the routes', the dead letters'.
     *
     * @return without repeats
     */
    public List<String> outputTopics() {
        throw new UnsupportedOperationException();
    }

    /**
     * Events in a batch at most.
     *
     * @return {@code batching.max_batch_size}
     */
    public int maxBatchSize() {
        throw new UnsupportedOperationException();
    }

    /**
     * Bytes of keys and values in a batch at most.
     *
     * @return {@code batching.max_batch_bytes}
     */
    public long maxBatchBytes() {
        throw new UnsupportedOperationException();
    }

    /**
     * The longest wait of a batch's first event.
     *
     * @return {@code batching.linger_ms}, in milliseconds
     */
    public double lingerMs() {
        throw new UnsupportedOperationException();
    }

    /**
     * What a failure may cost.
     *
     * @return true where {@code delivery.guarantee} is {@code exactly_once}
     */
    public boolean isExactlyOnce() {
        throw new UnsupportedOperationException();
    }

    /**
     * The time between checkpoints.
     *
     * @return {@code delivery.commit_interval_ms}, in milliseconds
     */
    public long commitIntervalMs() {
        throw new UnsupportedOperationException();
    }

    /**
     * How long a transaction may be open.
     *
     * @return {@code delivery.transaction_timeout_ms}, in milliseconds
     */
    public int transactionTimeoutMs() {
        throw new UnsupportedOperationException();
    }

    /**
     * Properties for Kafka's consumer in Java: the cluster, security, and {@code kafka.client.consumer}, in the words of
     * the Java client. Without what an engine sets itself: deserializers, group, offsets.
     *
     * @return a copy
     */
    public Map<String, String> consumerProperties() {
        throw new UnsupportedOperationException();
    }

    /**
     * Properties for Kafka's producer in Java, likewise.
     *
     * @return a copy
     */
    public Map<String, String> producerProperties() {
        throw new UnsupportedOperationException();
    }

    /**
     * Properties for Kafka's admin client in Java, likewise.
     *
     * @return a copy
     */
    public Map<String, String> adminProperties() {
        throw new UnsupportedOperationException();
    }

    /**
     * Keys that were set and have no effect in an engine of the JVM, such as {@code flow.pause_after_ms}.
     *
     * @return for a line of the log
     */
    public List<String> ignored() {
        throw new UnsupportedOperationException();
    }
}
