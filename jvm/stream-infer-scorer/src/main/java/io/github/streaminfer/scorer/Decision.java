package io.github.streaminfer.scorer;

/**
 * From a score to a flag: an integer comparison, the same in every language. Both sides are rounded before they meet, so
 * that the last bits, which differ between machines, never decide.
 */
final class Decision {
    private final double factor;
    private final double limit;

    Decision(double threshold, int roundDecimals) {
        // The nearest double of the power of ten, which Math.pow does not promise.
        factor = Double.parseDouble("1e" + roundDecimals);
        limit = Math.rint(threshold * factor);
    }

    /** True where the score reaches the threshold; false for NaN. */
    boolean flags(float score) {
        return Math.rint((double) score * factor) >= limit;
    }
}
