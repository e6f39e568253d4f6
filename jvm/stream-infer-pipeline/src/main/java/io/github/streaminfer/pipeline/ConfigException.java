package io.github.streaminfer.pipeline;

/** The config cannot be used. Its message holds a line for each problem: where, what, and the remedy. */
public final class ConfigException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * Says what is wrong.
     *
     * @param message without any secret
     */
    public ConfigException(String message) {
        super(message);
    }
}
