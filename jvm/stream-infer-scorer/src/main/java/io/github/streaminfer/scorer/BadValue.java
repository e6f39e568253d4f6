package io.github.streaminfer.scorer;

/** Thrown by a rule at the value that it refuses; caught in the same row. */
final class BadValue extends Exception {
    private static final long serialVersionUID = 1L;

    final transient Fault fault;

    BadValue(Fault fault) {
        super(fault.detail, null, false, false);
        this.fault = fault;
    }

    BadValue(Status status, String detail) {
        this(new Fault(status, detail));
    }

    /** For a value of another type than is expected; it is named by its type only. */
    static BadValue wrongType(String expected, Object value) {
        return new BadValue(Status.WRONG_TYPE, "expected " + expected + ", found " + Values.describe(value));
    }
}
