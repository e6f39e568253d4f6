package io.github.streaminfer.scorer;

/**
 * A model bundle cannot be used. The message is one sentence for whoever runs the program: it names the bundle, what is
 * wrong with it, and the remedy.
 */
public final class BundleException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * Says what is wrong.
     *
     * @param message one sentence
     */
    public BundleException(String message) {
        super(message);
    }

    /**
     * Says what is wrong.
     *
     * @param message one sentence
     * @param cause what a library says of it
     */
    public BundleException(String message, Throwable cause) {
        super(message, cause);
    }
}
