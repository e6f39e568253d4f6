package io.github.streaminfer.scorer;

import java.util.Locale;

/** How one event stands: scored, or why not. The reasons are those of stream_infer's dead letters and metrics. */
public enum Status {
    /** The event has a score. */
    OK,
    /** There is no value. Not an error: it is passed over. */
    TOMBSTONE,
    /** A value of zero bytes. */
    EMPTY,
    /** The first byte is not the framing's magic byte. */
    BAD_MAGIC,
    /** The schema id is not known. */
    UNKNOWN_SCHEMA,
    /** The writer's schema cannot be used. */
    SCHEMA_REFUSED,
    /** The value ends before the event does. */
    TRUNCATED,
    /** Bytes are left after the event. */
    TRAILING_BYTES,
    /** Not a valid encoding. */
    MALFORMED,
    /** Text that is not UTF-8. */
    INVALID_UTF8,
    /** A field holds another type than the feature list or the output schema needs. */
    WRONG_TYPE,
    /** A field that is carried to the output is absent and has no default. */
    MISSING_FIELD,
    /** A feature with {@code missing = "error"} is absent, null or NaN. */
    MISSING_FEATURE,
    /** A category with {@code unseen = "error"} that the model does not know. */
    UNSEEN_CATEGORY,
    /** An infinite feature value. */
    NOT_FINITE,
    /** A number that does not fit the type of the model's input. */
    OUT_OF_RANGE,
    /** The model refuses this event. */
    MODEL_FAILED,
    /** The model's score for this event is NaN or infinite. */
    MODEL_OUTPUT,
    /** The scored event cannot be encoded. */
    ENCODE_FAILED;

    private final String reason = name().toLowerCase(Locale.ROOT);

    /**
     * The name in lower case, as dead letters, metrics and logs of stream_infer write it.
     *
     * @return for example {@code missing_feature}
     */
    public String reason() {
        return reason;
    }

    /**
     * Tells errors from events that are scored or passed over.
     *
     * @return true where the event belongs into a dead letter
     */
    public boolean isReject() {
        return this != OK && this != TOMBSTONE;
    }
}
