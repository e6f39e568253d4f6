package io.github.streaminfer.scorer;

import java.util.List;
import org.apache.avro.Schema;

/** What a loaded model is called, expects and decides. Immutable. */
public final class ModelInfo {
    private final String name;
    private final String version;
    private final String digest;
    private final double threshold;
    private final int roundDecimals;
    private final List<String> classes;
    private final Schema inputSchema;

    ModelInfo(Manifest manifest, String digest, double threshold, Schema inputSchema) {
        this.name = manifest.name;
        this.version = manifest.version;
        this.digest = digest;
        this.threshold = threshold;
        this.roundDecimals = manifest.roundDecimals;
        this.classes = manifest.isMultiClass() ? manifest.classes : List.of();
        this.inputSchema = inputSchema;
    }

    /**
     * The model's name.
     *
     * @return for example {@code payments}
     */
    public String name() {
        return name;
    }

    /**
     * The model's version.
     *
     * @return any text
     */
    public String version() {
        return version;
    }

    /**
     * What identifies the bundle: the SHA-256 of its {@code bundle.json}.
     *
     * @return 64 hexadecimal digits
     */
    public String digest() {
        return digest;
    }

    /**
     * The threshold in force.
     *
     * @return the bundle's own, unless another was given when it was loaded
     */
    public double threshold() {
        return threshold;
    }

    /**
     * To how many decimals score and threshold are rounded before they are compared.
     *
     * @return 0 to 15
     */
    public int roundDecimals() {
        return roundDecimals;
    }

    /**
     * The classes of a model that tells more than two apart, in the order of its probabilities.
     *
     * @return unmodifiable; empty for other models
     */
    public List<String> classes() {
        return classes;
    }

    /**
     * The reader's view of an event: names, types and defaults of the fields.
     *
     * @return an Avro record
     */
    public Schema inputSchema() {
        return inputSchema;
    }
}
