package rivals;

/** How a rival's process runs and ends: with 0 after SIGTERM, with 1 and one line on stderr when it cannot go on. */
final class Process {
    private Process() {}

    /** Does the task that the environment tells. */
    static void run(Rival rival) {
        try {
            rival.run(Task.fromEnvironment());
        } catch (Exception failure) {
            fail(failure);
        }
    }

    /**
     * Has {@code close} run on SIGTERM, and the process end with 0 thereafter.
     *
     * <p>Without the {@code halt} the virtual machine would report 143.
     */
    static void onTermination(Closing close) {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                close.close();
            } catch (Exception failure) {
                fail(failure);
            }
            Runtime.getRuntime().halt(0);
        }, "termination"));
    }

    /** Ends the process with 1, at once. */
    static void fail(Throwable failure) {
        Throwable cause = failure;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        System.err.println("The rival failed: " + cause);
        Runtime.getRuntime().halt(1);
    }

    /** What a rival does with its task; whatever it throws ends the process. */
    @FunctionalInterface
    interface Rival {
        void run(Task task) throws Exception;
    }

    /** What is to be done before the process ends. */
    @FunctionalInterface
    interface Closing {
        void close() throws Exception;
    }
}
