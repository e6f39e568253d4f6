package io.github.streaminfer.scorer;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.TensorInfo;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** Does the graph expect and answer what {@code bundle.json} says? A difference is found when the model is loaded. */
final class Signature {
    private static final Map<OnnxJavaType, CellType> TYPES = Map.of(
            OnnxJavaType.FLOAT, CellType.FLOAT32,
            OnnxJavaType.DOUBLE, CellType.FLOAT64,
            OnnxJavaType.INT64, CellType.INT64,
            OnnxJavaType.STRING, CellType.STRING);

    private final List<String> problems = new ArrayList<>();
    private final Set<Long> batchSizes = new TreeSet<>();

    private Signature() {}

    /**
     * Compares a graph with its manifest.
     *
     * @return the rows that its batch dimension is fixed to; 0 where it is free
     * @throws BundleException they differ; every difference is named
     */
    static int check(Map<String, NodeInfo> inputs, Map<String, NodeInfo> outputs, Manifest manifest) {
        Signature signature = new Signature();
        signature.inputs(inputs, manifest.inputs);
        signature.output(outputs, manifest.scoreOutput());
        if (!signature.problems.isEmpty()) {
            throw new BundleException(
                    "the graph is not what bundle.json says: " + String.join("; ", signature.problems));
        }
        return signature.batchSizes.stream().findFirst().orElse(0L).intValue();
    }

    private void inputs(Map<String, NodeInfo> found, List<InputSpec> expected) {
        Set<String> inGraph = new TreeSet<>(found.keySet());
        for (InputSpec input : expected) {
            String what = "input '" + input.name + "'";
            if (!inGraph.remove(input.name)) {
                problems.add(what + " is only in the bundle");
                continue;
            }
            TensorInfo info = tensor(found.get(input.name));
            tensor(what, info, found.get(input.name), input.type, input.shape);
            if (info != null && info.getShape().length > 0 && info.getShape()[0] >= 0) {
                batchSizes.add(info.getShape()[0]);
            }
        }
        inGraph.forEach(name -> problems.add("input '" + name + "' is only in the graph"));
        if (batchSizes.size() > 1) {
            problems.add("its inputs have batch dimensions fixed to different sizes (" + batchSizes + ")");
        }
    }

    private void output(Map<String, NodeInfo> outputs, Manifest.OutputSpec expected) {
        String what = "output '" + expected.name + "'";
        NodeInfo found = outputs.get(expected.name);
        if (found == null) {
            problems.add(what + " is not among the graph's (" + String.join(", ", outputs.keySet()) + ")");
            return;
        }
        TensorInfo info = tensor(found);
        if (info == null) {
            problems.add(what + " is no tensor: it is a sequence of maps (ZipMap), slow and different in every language: "
                    + "convert the model without it, or name the tensor that feeds it");
            return;
        }
        // The runtime gives no dimensions where it does not know them; then the golden vectors tell.
        if (info.getShape().length == 0) {
            return;
        }
        tensor(what, info, found, expected.type, expected.shape);
        long rows = info.getShape()[0];
        if (rows >= 0 && !batchSizes.contains(rows)) {
            problems.add(what + " has " + rows + " row(s) whatever the batch, not one per input row");
        }
    }

    private void tensor(String what, TensorInfo info, NodeInfo node, CellType type, List<Long> shape) {
        if (info == null || TYPES.get(info.type) != type) {
            String found = info == null ? node.getInfo().getClass().getSimpleName() : info.type.toString();
            problems.add(what + " is " + found + " in the graph and " + type.label() + " in the bundle");
        }
        if (info == null) {
            return;
        }
        long[] found = info.getShape();
        boolean fits = found.length == shape.size();
        for (int axis = 1; fits && axis < found.length; axis++) {
            fits = found[axis] < 0 || found[axis] == shape.get(axis);
        }
        if (!fits) {
            problems.add(what + " has shape " + Arrays.toString(found) + " in the graph and " + shape + " in the bundle");
        }
    }

    private static TensorInfo tensor(NodeInfo node) {
        return node.getInfo() instanceof TensorInfo ? (TensorInfo) node.getInfo() : null;
    }
}
