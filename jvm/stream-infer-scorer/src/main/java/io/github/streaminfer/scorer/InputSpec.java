package io.github.streaminfer.scorer;

import java.util.List;

/** One input tensor. Its shape is {@code [-1, ...]}: -1 is the batch, the other dimensions hold the features' cells. */
final class InputSpec {
    final String name;
    final CellType type;
    final List<Long> shape;
    final List<FeatureSpec> features;
    /** Cells of one row, as the features fill them. */
    final int width;

    InputSpec(String name, CellType type, List<Long> shape, List<FeatureSpec> features) {
        this.name = name;
        this.type = type;
        this.shape = shape;
        this.features = features;
        this.width = features.stream().mapToInt(feature -> feature.length).sum();
    }

    /** The shape of so many rows. */
    long[] shapeOf(int rows) {
        long[] dimensions = shape.stream().mapToLong(Long::longValue).toArray();
        dimensions[0] = rows;
        return dimensions;
    }
}
