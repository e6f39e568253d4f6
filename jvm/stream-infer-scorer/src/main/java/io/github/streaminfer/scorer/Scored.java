package io.github.streaminfer.scorer;

import java.util.List;

/**
 * The answers to one batch, row for row. Plain values: nothing of it lives outside the heap, and it may be kept.
 *
 * <p>Immutable, so it may be read by any thread.
 */
public final class Scored {
    private final Status[] status;
    private final String[] details;
    private final float[] scores;
    private final boolean[] flagged;
    private final float[] probabilities;
    private final List<String> classes;

    /** Takes the arrays as its own. {@code probabilities} is row-major, empty without classes. */
    Scored(
            Status[] status,
            String[] details,
            float[] scores,
            boolean[] flagged,
            float[] probabilities,
            List<String> classes) {
        this.status = status;
        this.details = details;
        this.scores = scores;
        this.flagged = flagged;
        this.probabilities = probabilities;
        this.classes = classes;
    }

    /**
     * Rows of the batch.
     *
     * @return as many as were given
     */
    public int size() {
        return status.length;
    }

    /**
     * How a row stands.
     *
     * @param row from 0
     * @return {@link Status#OK} for a row with a score
     */
    public Status status(int row) {
        return status[row];
    }

    /**
     * Why a row has no score, in words that name fields and types but no value.
     *
     * @param row from 0
     * @return empty for a row with a score
     */
    public String detail(int row) {
        return details[row] == null ? "" : details[row];
    }

    /**
     * The score of a row.
     *
     * @param row from 0
     * @return NaN unless the status is {@link Status#OK}
     */
    public float score(int row) {
        return scores[row];
    }

    /**
     * Whether the score reaches the threshold, both rounded.
     *
     * @param row from 0
     * @return false for a row without a score
     */
    public boolean flagged(int row) {
        return flagged[row];
    }

    /**
     * The probability of each class, for a model of more than two classes.
     *
     * @param row from 0
     * @return a new array in the order of {@link ModelInfo#classes}, all NaN for a row without a score; empty for a
     *     model of one or two classes
     */
    public float[] probabilities(int row) {
        int width = classes.size();
        float[] found = new float[width];
        System.arraycopy(probabilities, row * width, found, 0, width);
        return found;
    }

    /**
     * The most probable class, for a model of more than two classes; the first of equals.
     *
     * @param row from 0
     * @return null for a row without a score, and for a model of one or two classes
     */
    public String predictedClass(int row) {
        if (classes.isEmpty() || status[row] != Status.OK) {
            return null;
        }
        int width = classes.size();
        int best = 0;
        for (int column = 1; column < width; column++) {
            if (isAbove(probabilities[row * width + column], probabilities[row * width + best])) {
                best = column;
            }
        }
        return classes.get(best);
    }

    /** As numpy orders them, where NaN is above all numbers. */
    private static boolean isAbove(float candidate, float best) {
        return candidate > best || (Float.isNaN(candidate) && !Float.isNaN(best));
    }
}
