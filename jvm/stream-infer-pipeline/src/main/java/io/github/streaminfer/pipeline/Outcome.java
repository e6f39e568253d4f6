package io.github.streaminfer.pipeline;

import java.util.List;

/** What becomes of one input record. */
public final class Outcome {
    /** How an input record ends. */
    public enum Kind {
        /** A scored event in the sink's topic, and in each route that it meets. */
        SCORED,
        /** A dead letter. */
        REJECTED,
        /** A tombstone: nothing is published. */
        PASSED_OVER
    }

    private final Kind kind;
    private final List<OutputRecord> records;

    Outcome(Kind kind, List<OutputRecord> records) {
        this.kind = kind;
        this.records = List.copyOf(records);
    }

    /**
     * How it ends.
     *
     * @return never null
     */
    public Kind kind() {
        return kind;
    }

    /**
     * What to publish.
     *
     * @return unmodifiable; empty for what is passed over
     */
    public List<OutputRecord> records() {
        return records;
    }
}
