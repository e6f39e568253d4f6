package io.github.streaminfer.pipeline;

import java.util.List;

/**
 * From records of the input topics to what is published about them, as one config says: decode, score, decide, encode,
 * route, or a dead letter. Knows no engine and no clock. May be used by many threads at once.
 */
public final class Pipeline implements AutoCloseable {
    private Pipeline() {}

    /**
     * Loads the model and reads the schemas.
     *
     * @param config of the service
     * @return a pipeline, to be closed
     * @throws io.github.streaminfer.scorer.BundleException the bundle is absent, damaged or refused
     * @throws ConfigException a schema is absent or does not fit, or this setting is not for the JVM
     */
    public static Pipeline open(Config config) {
        throw new UnsupportedOperationException();
    }

    /**
     * Scores a batch.
     *
     * @param batch records in the order in which they were read
     * @param nowMs milliseconds since the epoch, for {@code scored_at} and {@code failed_at}
     * @return an outcome for each, in the same order
     * @throws RegistryException the schema registry does not answer; the batch may be tried again
     */
    public List<Outcome> process(List<InputRecord> batch, long nowMs) {
        throw new UnsupportedOperationException();
    }

    /** Frees the model. A second call does nothing. */
    @Override
    public void close() {}
}
