package io.github.streaminfer.scorer;

import java.util.List;
import java.util.Map;

/** {@code bundle.json} as values. Complete and consistent in itself once {@link ManifestReader} has returned it. */
final class Manifest {
    static final String FILE = "bundle.json";
    static final String INPUT_SCHEMA = "schema/input.avsc";
    static final String GOLDEN_EVENTS = "golden/input.avro";
    static final String GOLDEN_RECORDS = "golden/records.avro";
    static final String GOLDEN_ANSWERS = "golden/expected.avro";

    final String name;
    final String version;
    final Onnx onnx;
    final List<InputSpec> inputs;
    final List<OutputSpec> outputs;
    final String scoreOutput;
    /** -1 for an output of one dimension. */
    final int scoreColumn;
    final List<String> classes;
    final double threshold;
    final int roundDecimals;
    final Golden golden;
    final Map<String, FileEntry> files;

    Manifest(
            String name,
            String version,
            Onnx onnx,
            List<InputSpec> inputs,
            List<OutputSpec> outputs,
            String scoreOutput,
            int scoreColumn,
            List<String> classes,
            double threshold,
            int roundDecimals,
            Golden golden,
            Map<String, FileEntry> files) {
        this.name = name;
        this.version = version;
        this.onnx = onnx;
        this.inputs = inputs;
        this.outputs = outputs;
        this.scoreOutput = scoreOutput;
        this.scoreColumn = scoreColumn;
        this.classes = classes;
        this.threshold = threshold;
        this.roundDecimals = roundDecimals;
        this.golden = golden;
        this.files = files;
    }

    /** True where all probabilities are published. */
    boolean isMultiClass() {
        return classes.size() > 2;
    }

    /** The output that holds the score. */
    OutputSpec scoreOutput() {
        return outputs.stream().filter(output -> output.name.equals(scoreOutput)).findFirst().orElseThrow();
    }

    /** Facts of the graph. */
    static final class Onnx {
        final String file;
        final Map<String, Long> opset;
        final long ir;
        final String minRuntime;
        final List<String> ops;
        /** True where ONNX Runtime's own operators are allowed. */
        final boolean hasContribOps;

        Onnx(
                String file,
                Map<String, Long> opset,
                long ir,
                String minRuntime,
                List<String> ops,
                boolean hasContribOps) {
            this.file = file;
            this.opset = opset;
            this.ir = ir;
            this.minRuntime = minRuntime;
            this.ops = ops;
            this.hasContribOps = hasContribOps;
        }
    }

    /** One output tensor: {@code [-1]} or {@code [-1, k]}. */
    static final class OutputSpec {
        final String name;
        final CellType type;
        final List<Long> shape;

        OutputSpec(String name, CellType type, List<Long> shape) {
            this.name = name;
            this.type = type;
            this.shape = shape;
        }

        /** Numbers in a row. */
        int columns() {
            return shape.size() == 2 ? shape.get(1).intValue() : 1;
        }
    }

    /** The golden vectors: how many, and how far from the expected score a runtime may be. */
    static final class Golden {
        final int rows;
        final double rtol;
        final double atol;

        Golden(int rows, double rtol, double atol) {
            this.rows = rows;
            this.rtol = rtol;
            this.atol = atol;
        }
    }

    /** Checksum in hexadecimal digits, and size in bytes, of one file. */
    static final class FileEntry {
        final String sha256;
        final long size;

        FileEntry(String sha256, long size) {
            this.sha256 = sha256;
            this.size = size;
        }
    }
}
