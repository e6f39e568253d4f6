package io.github.streaminfer.scorer;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Function;
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
    private final ModelInfo model;
    private final Decision decision;
    private final SharedModel shared;
    /** Held for reading by every call, so that the model is not freed under one of them. */
    private final ReadWriteLock lock = new ReentrantReadWriteLock();

    private boolean isOpen = true;

    private Scorer(ModelInfo model, SharedModel shared) {
        this.model = model;
        this.decision = new Decision(model.threshold(), model.roundDecimals());
        this.shared = shared;
    }

    /**
     * Loads a bundle from a file or a directory.
     *
     * @param bundle a {@code .bundle.jar}, or a directory of the same content
     * @return a scorer, to be closed
     * @throws BundleException it is absent, damaged or refused, or does not answer here as it did when it was exported
     */
    public static Scorer load(Path bundle) {
        return open(Bundle.load(bundle), null);
    }

    /**
     * Loads a bundle from a file or a directory, with another threshold than its own.
     *
     * @param bundle a {@code .bundle.jar}, or a directory of the same content
     * @param threshold in force instead of the bundle's
     * @return a scorer, to be closed
     * @throws BundleException it is absent, damaged or refused, or does not answer here as it did when it was exported
     * @throws IllegalArgumentException the threshold is not finite
     */
    public static Scorer load(Path bundle, double threshold) {
        return open(Bundle.load(bundle), threshold);
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
        return open(Bundle.load(loader, model), null);
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
        return open(Bundle.load(loader, model), threshold);
    }

    /**
     * What this model is called, expects and decides.
     *
     * @return the same every time
     */
    public ModelInfo model() {
        return model;
    }

    /**
     * Scores values whose model reads nothing beside them.
     *
     * @param values a row each; null is a tombstone
     * @return the answers, in the same order
     * @throws IllegalStateException this scorer is closed
     */
    public Scored score(List<? extends IndexedRecord> values) {
        List<Event> events = new ArrayList<>(values.size());
        for (IndexedRecord value : values) {
            events.add(Event.of(value));
        }
        return scoreEvents(events);
    }

    /**
     * Scores events with their keys, timestamps and headers.
     *
     * @param events a row each
     * @return the answers, in the same order
     * @throws IllegalStateException this scorer is closed
     */
    public Scored scoreEvents(List<? extends Event> events) {
        return call(inference -> inference.score(events, decision));
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
        return call(inference -> inference.score(cells, rows, decision));
    }

    /** Frees the model, once the calls that are running have ended. A second call does nothing. */
    @Override
    public void close() {
        lock.writeLock().lock();
        try {
            if (isOpen) {
                isOpen = false;
                shared.release();
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    private static Scorer open(Bundle bundle, Double threshold) {
        double inForce = threshold == null ? bundle.manifest.threshold : threshold;
        if (!Double.isFinite(inForce)) {
            throw new IllegalArgumentException("the threshold " + inForce + " is not finite");
        }
        return new Scorer(
                new ModelInfo(bundle.manifest, bundle.digest, inForce, bundle.inputSchema), SharedModel.acquire(bundle));
    }

    private Scored call(Function<Inference, Scored> task) {
        lock.readLock().lock();
        try {
            if (!isOpen) {
                throw new IllegalStateException("the scorer is closed");
            }
            return task.apply(shared.inference());
        } finally {
            lock.readLock().unlock();
        }
    }
}
