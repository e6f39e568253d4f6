package io.github.streaminfer.scorer;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** The cells of all inputs for some rows. For one thread at a time. */
final class Cells {
    /** Rows that it holds, those that pad a call not counted. */
    final int capacity;

    private final List<InputCells> inputs;

    /**
     * Allocates.
     *
     * @param capacity rows
     * @param callRows most rows that a short call is padded to
     */
    Cells(List<InputSpec> inputs, int capacity, int callRows) {
        this.capacity = capacity;
        this.inputs = inputs.stream()
                .map(input -> InputCells.allocate(input, capacity + callRows))
                .collect(Collectors.toList());
    }

    InputCells input(int index) {
        return inputs.get(index);
    }

    /**
     * The tensors of a call, to be closed with {@link #close}.
     *
     * @param start first row
     * @param rows how many
     * @param callRows rows of the call: the last one is repeated until there are so many
     */
    Map<String, OnnxTensor> tensors(OrtEnvironment environment, int start, int rows, int callRows)
            throws OrtException {
        int from = rows == callRows ? start : padded(start, rows, callRows);
        Map<String, OnnxTensor> tensors = new HashMap<>();
        try {
            for (InputCells input : inputs) {
                tensors.put(input.input.name, input.tensor(environment, from, callRows));
            }
        } catch (OrtException | RuntimeException failure) {
            close(tensors);
            throw failure;
        }
        return tensors;
    }

    /** Frees the tensors of a call. */
    static void close(Map<String, OnnxTensor> tensors) {
        new ArrayList<>(tensors.values()).forEach(OnnxTensor::close);
    }

    /** Copies rows behind all others, where there is room to repeat the last. */
    private int padded(int start, int rows, int callRows) {
        for (int row = 0; row < callRows; row++) {
            for (InputCells input : inputs) {
                input.copy(start + Math.min(row, rows - 1), capacity + row);
            }
        }
        return capacity;
    }
}
