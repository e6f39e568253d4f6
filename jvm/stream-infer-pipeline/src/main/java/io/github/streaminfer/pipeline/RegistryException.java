package io.github.streaminfer.pipeline;

/** The schema registry does not answer now: the same call may succeed later. */
public final class RegistryException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * Says which question failed.
     *
     * @param message without any secret
     * @param cause why
     */
    public RegistryException(String message, Throwable cause) {
        super(message, cause);
    }
}
