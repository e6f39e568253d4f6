package rivals;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A task is what the environment says, or a refusal that names the variable. */
class TaskTest {
    private final Map<String, String> variables = new HashMap<>(Map.ofEntries(
            Map.entry("RIVAL_BOOTSTRAP", "127.0.0.1:1"),
            Map.entry("RIVAL_INPUT", "in"),
            Map.entry("RIVAL_OUTPUT", "out"),
            Map.entry("RIVAL_GROUP", "group"),
            Map.entry("RIVAL_WORKLOAD", "floats"),
            Map.entry("RIVAL_MODEL", "m.onnx"),
            Map.entry("RIVAL_SCHEMA", "in.avsc"),
            Map.entry("RIVAL_OUTPUT_SCHEMA", "out.avsc"),
            Map.entry("RIVAL_ASSETS", "assets"),
            Map.entry("RIVAL_BATCH", "128"),
            Map.entry("RIVAL_LINGER_MS", "5")));

    @Test
    void wholeEnvironment() {
        Task expected = new Task(
                "127.0.0.1:1", "in", "out", "group", "floats", new File("m.onnx"), new File("in.avsc"),
                new File("out.avsc"), new File("assets"), 128, 5);
        assertEquals(expected, Task.from(variables));
    }

    @Test
    void missingVariableIsNamed() {
        variables.remove("RIVAL_GROUP");
        assertTrue(refusal().contains("RIVAL_GROUP"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "0", "-1", "many", "1.5"})
    void numberOutOfRangeIsRefused(String batch) {
        variables.put("RIVAL_BATCH", batch);
        assertTrue(refusal().contains("RIVAL_BATCH"));
    }

    private String refusal() {
        return assertThrows(IllegalArgumentException.class, () -> Task.from(variables)).getMessage();
    }
}
