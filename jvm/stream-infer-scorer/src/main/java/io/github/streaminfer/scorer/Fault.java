package io.github.streaminfer.scorer;

/** Why an event cannot be used: a status and a sentence. May stand in place of a value. */
final class Fault {
    static final Fault TOMBSTONE = new Fault(Status.TOMBSTONE, "");
    private static final int MAX_DETAIL_CHARS = 500;

    final Status status;
    final String detail;

    Fault(Status status, String detail) {
        this.status = status;
        this.detail = detail.length() > MAX_DETAIL_CHARS ? detail.substring(0, MAX_DETAIL_CHARS) : detail;
    }

    /** The same fault, said of a place. */
    Fault at(String place) {
        return new Fault(status, place + ": " + detail);
    }
}
