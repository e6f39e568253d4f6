package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.Status;

/** One event cannot be read or written. Its message is the detail of a dead letter: no value of the event is in it. */
public final class RejectedEvent extends Exception {
    private static final long serialVersionUID = 1L;

    private final Status status;

    /**
     * Says why.
     *
     * @param status the reason
     * @param detail the sentence that names fields and types
     */
    public RejectedEvent(Status status, String detail) {
        super(detail, null, false, false);
        this.status = status;
    }

    /**
     * The reason.
     *
     * @return a status that is a reject
     */
    public Status status() {
        return status;
    }
}
