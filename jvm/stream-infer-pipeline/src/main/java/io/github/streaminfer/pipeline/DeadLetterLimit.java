package io.github.streaminfer.pipeline;

import java.util.List;

/** How many of the events may be dead letters, as {@code [dead_letter]} says. One for each task; for one thread. */
public final class DeadLetterLimit {
    /**
     * Begins to count.
     *
     * @param config of the service
     */
    public DeadLetterLimit(Config config) {}

    /**
     * Counts a batch, before anything of it is published.
     *
     * @param outcomes in the order of the input
     * @throws TooManyDeadLettersException a limit is passed
     */
    public void settle(List<Outcome> outcomes) {
        throw new UnsupportedOperationException();
    }
}
