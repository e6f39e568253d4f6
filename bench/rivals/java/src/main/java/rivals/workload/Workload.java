package rivals.workload;

import java.nio.FloatBuffer;

/**
 * One kind of event: how the model's row is read from it, and how its score is written. Not thread-safe.
 *
 * @param <I> what is kept of an event until it has a score: its id, in the form that suits {@link #encode}
 */
public interface Workload<I> {
    /** Scores from here on are flagged. */
    float THRESHOLD = 0.5f;

    /** Cells of a row. */
    int width();

    /**
     * Reads an event: {@link #width} cells to {@code rows} from position {@code first}, NaN for what is missing.
     *
     * @return what {@link #encode} needs
     * @throws RuntimeException the value is not such an event
     */
    I decode(byte[] value, FloatBuffer rows, int first);

    /** The scored event. Each event that was decoded is encoded at most once. */
    byte[] encode(I id, float score);
}
