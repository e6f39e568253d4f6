package io.github.streaminfer.scorer;

import java.util.Arrays;
import java.util.List;

/** The answers to a batch while they come in. For one thread. */
final class Answers {
    private final Status[] status;
    private final String[] details;
    private final float[] scores;
    private final boolean[] flagged;
    private final float[] probabilities;
    private final List<String> classes;
    private final Decision decision;

    Answers(int rows, List<String> classes, Decision decision) {
        this.status = new Status[rows];
        this.details = new String[rows];
        this.scores = new float[rows];
        this.flagged = new boolean[rows];
        this.probabilities = new float[rows * classes.size()];
        this.classes = classes;
        this.decision = decision;
        Arrays.fill(scores, Float.NaN);
        Arrays.fill(probabilities, Float.NaN);
    }

    /** Says why a row has no score. */
    void reject(int row, Fault fault) {
        status[row] = fault.status;
        details[row] = fault.detail;
    }

    /** Takes the model's answer to a row: {@code columns} numbers from {@code start} on, of which one is the score. */
    void score(int row, float[] output, int start, int columns, int scoreColumn) {
        float score = output[start + Math.max(scoreColumn, 0)];
        if (Float.isNaN(score) || Float.isInfinite(score)) {
            String kind = Float.isNaN(score) ? "NaN" : "infinite";
            reject(row, new Fault(Status.MODEL_OUTPUT, "the model's score is " + kind));
            return;
        }
        status[row] = Status.OK;
        scores[row] = score;
        flagged[row] = decision.flags(score);
        if (!classes.isEmpty()) {
            System.arraycopy(output, start, probabilities, row * columns, columns);
        }
    }

    Scored finished() {
        return new Scored(status, details, scores, flagged, probabilities, classes);
    }
}
