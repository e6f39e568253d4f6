package io.github.streaminfer.scorer;

/** The runtime failed on some rows. */
final class ModelFailure extends Exception {
    private static final long serialVersionUID = 1L;

    ModelFailure(String message, Throwable cause) {
        super(message, cause);
    }
}
