package io.github.streaminfer.scorer;

import java.nio.file.Path;
import java.util.List;
import org.apache.avro.generic.IndexedRecord;

/**
 * A model that is loaded and proven, ready to score batches of events.
 *
 * <pre>{@code
 * try (Scorer scorer = Scorer.load(Path.of("fraud-7.bundle.jar"))) {
 *     Scored scored = scorer.score(records);
 *     if (scored.status(0) == Status.OK && scored.flagged(0)) { ... }
 * }
 * }</pre>
 *
 * <p>May be used by many threads at once, and should be: a call runs on the thread that makes it. A score never depends
 * on the other rows of its batch. All scorers of one bundle share one session of ONNX Runtime, which is closed with the
 * last of them; nothing outside the heap outlives {@link #close}.
 *
 * <p>ONNX Runtime reports to its maker unless the environment variable {@code ORT_DISABLE_TELEMETRY} is set, and a
 * program in Java cannot set it for itself, so a process without the variable is refused. {@code 1} is right unless you
 * want to report.
 */
public final class Scorer implements AutoCloseable {
    /**
     * Loads a bundle from a file or a directory.
     *
     * @param bundle a {@code .bundle.jar}, or a directory of the same content
     * @return a scorer, to be closed
     * @throws BundleException it is absent, damaged or refused, or does not answer here as it did when it was exported
     */
    public static Scorer load(Path bundle) {
        throw new UnsupportedOperationException();
    }

    /**
     * Loads a bundle from a file or a directory, with another threshold than its own.
     *
     * @param bundle a {@code .bundle.jar}, or a directory of the same content
     * @param threshold in force instead of the bundle's
     * @return a scorer, to be closed
     * @throws BundleException it is absent, damaged or refused, or does not answer here as it did when it was exported
     */
    public static Scorer load(Path bundle, double threshold) {
        throw new UnsupportedOperationException();
    }

    /**
     * Loads a bundle from the class path.
     *
     * @param loader whose class path holds the bundle's jar
     * @param model the model's name
     * @return a scorer, to be closed
     * @throws BundleException as for {@link #load(Path)}, or the class path holds several models of this name
     */
    public static Scorer load(ClassLoader loader, String model) {
        throw new UnsupportedOperationException();
    }

    /**
     * Loads a bundle from the class path, with another threshold than its own.
     *
     * @param loader whose class path holds the bundle's jar
     * @param model the model's name
     * @param threshold in force instead of the bundle's
     * @return a scorer, to be closed
     * @throws BundleException as for {@link #load(Path)}, or the class path holds several models of this name
     */
    public static Scorer load(ClassLoader loader, String model, double threshold) {
        throw new UnsupportedOperationException();
    }

    /**
     * What this model is called, expects and decides.
     *
     * @return the same every time
     */
    public ModelInfo model() {
        throw new UnsupportedOperationException();
    }

    /**
     * Scores values whose model reads nothing beside them.
     *
     * @param values a row each; null is a tombstone
     * @return the answers, in the same order
     * @throws IllegalStateException this scorer is closed
     */
    public Scored score(List<? extends IndexedRecord> values) {
        throw new UnsupportedOperationException();
    }

    /**
     * Scores events with their keys, timestamps and headers.
     *
     * @param events a row each
     * @return the answers, in the same order
     * @throws IllegalStateException this scorer is closed
     */
    public Scored scoreEvents(List<? extends Event> events) {
        throw new UnsupportedOperationException();
    }

    /**
     * Scores cells as the model takes them, for a model with one float32 input. No feature rule is applied.
     *
     * @param cells row-major, at least {@code rows} times the input's width
     * @param rows how many
     * @return the answers, in the same order
     * @throws IllegalArgumentException the model has other inputs, or there are too few cells
     * @throws IllegalStateException this scorer is closed
     */
    public Scored score(float[] cells, int rows) {
        throw new UnsupportedOperationException();
    }

    /** Frees the model, once the calls that are running have ended. A second call does nothing. */
    @Override
    public void close() {
        throw new UnsupportedOperationException();
    }
}
