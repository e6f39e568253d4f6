package io.github.streaminfer.scorer;

import java.util.List;

/**
 * Proves that a model answers as its bundle says, before the first event. The golden vectors go through the real rules,
 * the real graph and the real decision, at several batch sizes: a score that differs between sizes depends on its
 * neighbours, and such a model is refused.
 */
final class GoldenProof {
    /** Besides "all": one that divides no usual block of rows, and the smallest that is run. */
    private static final int[] BATCH_SIZES = {7, 2};

    private final GoldenVectors vectors;
    private final Inference inference;
    private final Decision decision;
    private final Manifest manifest;

    private GoldenProof(Bundle bundle, Inference inference) {
        this.vectors = GoldenVectors.read(bundle);
        this.inference = inference;
        this.manifest = bundle.manifest;
        this.decision = new Decision(manifest.threshold, manifest.roundDecimals);
    }

    /**
     * Runs the proof.
     *
     * @throws BundleException the first vector that is not answered as expected
     */
    static void require(Bundle bundle, Inference inference) {
        GoldenProof proof = new GoldenProof(bundle, inference);
        int rows = proof.vectors.events.size();
        Scored whole = proof.require(0, rows, "");
        int last = -1;
        for (int row = 0; row < rows; row++) {
            last = whole.status(row) == Status.OK ? row : last;
        }
        if (last < 0) {
            throw new BundleException(
                    "no golden event is scored; export it again with events that the feature list accepts");
        }
        for (int size : BATCH_SIZES) {
            for (int start = 0; start < rows; start += size) {
                proof.requirePart(start, Math.min(start + size, rows));
            }
        }
        proof.requirePart(last, last + 1);
    }

    private void requirePart(int start, int stop) {
        require(start, stop, " in a batch of " + (stop - start)
                + " (but not with all): a score depends on the rows beside it");
    }

    private Scored require(int start, int stop, String circumstance) {
        List<Event> events = vectors.events.subList(start, stop);
        Scored scored = inference.score(events, decision);
        for (int row = 0; row < events.size(); row++) {
            String mismatch = mismatch(scored, row, vectors.answers.get(start + row));
            if (mismatch != null) {
                throw new BundleException("golden row " + (start + row) + " " + mismatch + circumstance
                        + "; this model does not answer here as it did at export: export it again");
            }
        }
        return scored;
    }

    private String mismatch(Scored scored, int row, GoldenVectors.Answer expected) {
        Status status = scored.status(row);
        String reason = status == Status.OK ? null : status.reason();
        boolean isExpected = reason == null ? expected.reason == null : reason.equals(expected.reason);
        if (!isExpected) {
            String found = reason == null ? "scored" : reason + " (" + scored.detail(row) + ")";
            return "is " + found + ", expected " + (expected.reason == null ? "a score" : expected.reason);
        }
        boolean isFar = !isClose(scored.score(row), expected.score);
        float[] probabilities = scored.probabilities(row);
        for (int column = 0; column < Math.min(probabilities.length, expected.probabilities.length); column++) {
            isFar |= !isClose(probabilities[column], expected.probabilities[column]);
        }
        boolean isWrongFlag = scored.flagged(row) != expected.flagged && !isNearThreshold(expected.score);
        if (!isFar && !isWrongFlag) {
            return null;
        }
        return "has score " + scored.score(row) + " flagged " + scored.flagged(row) + ", expected score "
                + expected.score + " flagged " + expected.flagged;
    }

    private boolean isClose(float found, float expected) {
        double tolerance = manifest.golden.atol + manifest.golden.rtol * Math.abs((double) expected);
        return Math.abs((double) found - expected) <= tolerance
                || found == expected
                || (Float.isNaN(found) && Float.isNaN(expected));
    }

    private boolean isNearThreshold(float expected) {
        double slack = manifest.golden.atol + manifest.golden.rtol * Math.abs(manifest.threshold)
                + Math.pow(10, -manifest.roundDecimals);
        return Math.abs((double) expected - manifest.threshold) <= slack;
    }
}
