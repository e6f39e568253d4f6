package io.github.streaminfer.pipeline;

/** The limits of the config's {@code [dead_letter]} are passed: the process ends, and commits nothing of this batch. */
public final class TooManyDeadLettersException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * Says which limit, and what the last reject was.
     *
     * @param message quotes nothing of an event
     */
    public TooManyDeadLettersException(String message) {
        super(message);
    }
}
