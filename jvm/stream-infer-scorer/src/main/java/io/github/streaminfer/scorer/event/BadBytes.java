package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.Status;

/** Thrown by a reader at the byte that is wrong; records add the path on its way up. */
final class BadBytes extends Exception {
    private static final long serialVersionUID = 1L;

    private final Status status;
    private final String path;

    BadBytes(Status status, String detail) {
        this(status, detail, "");
    }

    private BadBytes(Status status, String detail, String path) {
        super(detail, null, false, false);
        this.status = status;
        this.path = path;
    }

    static BadBytes truncated() {
        return new BadBytes(Status.TRUNCATED, "the value ends before the event does");
    }

    /** The same, one record further out. */
    BadBytes within(String field) {
        return new BadBytes(status, getMessage(), path.isEmpty() ? field : field + "." + path);
    }

    RejectedEvent asReject() {
        return new RejectedEvent(status, path.isEmpty() ? getMessage() : path + ": " + getMessage());
    }
}
