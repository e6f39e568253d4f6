package rivals;

import java.io.File;
import java.io.Serializable;
import java.util.Map;

/**
 * What one run of a rival is to do: the Java half of {@code bench/rivals/contract.py}.
 *
 * @param bootstrap addresses of the brokers
 * @param input topic to read, from its earliest offset
 * @param output topic to write
 * @param group consumer group, or application id
 * @param workload its name, as {@link rivals.workload.Workloads} knows it
 * @param model the ONNX file
 * @param schema Avro schema of the input
 * @param outputSchema Avro schema of the output
 * @param assets folder with {@code features.json} and {@code categories.json}
 * @param batch most events of one call of the model
 * @param lingerMs longest wait for such a batch to fill, milliseconds
 */
public record Task(
        String bootstrap,
        String input,
        String output,
        String group,
        String workload,
        File model,
        File schema,
        File outputSchema,
        File assets,
        int batch,
        int lingerMs)
        implements Serializable {

    private static final String PREFIX = "RIVAL_";

    /** How often offsets are committed, milliseconds: the same for every rival. */
    public static final int COMMIT_INTERVAL_MS = 1000;

    /**
     * The task that the process's environment tells.
     *
     * @throws IllegalArgumentException a variable is missing or is not a number where one is needed
     */
    public static Task fromEnvironment() {
        return from(System.getenv());
    }

    static Task from(Map<String, String> variables) {
        return new Task(
                text(variables, "BOOTSTRAP"),
                text(variables, "INPUT"),
                text(variables, "OUTPUT"),
                text(variables, "GROUP"),
                text(variables, "WORKLOAD"),
                new File(text(variables, "MODEL")),
                new File(text(variables, "SCHEMA")),
                new File(text(variables, "OUTPUT_SCHEMA")),
                new File(text(variables, "ASSETS")),
                number(variables, "BATCH"),
                number(variables, "LINGER_MS"));
    }

    private static String text(Map<String, String> variables, String name) {
        String value = variables.get(PREFIX + name);
        if (value == null) {
            throw new IllegalArgumentException(PREFIX + name + " is not set: bench/rivals/contract.py lists what is");
        }
        return value;
    }

    private static int number(Map<String, String> variables, String name) {
        String value = text(variables, name);
        if (!value.matches("[1-9][0-9]{0,8}")) {
            throw new IllegalArgumentException(PREFIX + name + " is " + value + "; it must be a whole number from 1");
        }
        return Integer.parseInt(value);
    }
}
