package rivals;

/** The floor of Java: Kafka's consumer and producer, values passed through. */
public final class PlainEcho {
    private PlainEcho() {}

    /** Runs the task of the environment until SIGTERM. */
    public static void main(String[] arguments) {
        Process.run(task -> CopyLoop.run(task, (polled, output) ->
                polled.forEach(event -> output.send(event.key(), event.value()))));
    }
}
