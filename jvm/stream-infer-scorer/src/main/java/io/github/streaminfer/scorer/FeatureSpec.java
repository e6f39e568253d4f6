package io.github.streaminfer.scorer;

import java.util.List;

/** How a field of the event fills cells of an input. */
final class FeatureSpec {
    final String name;
    final String path;
    final Missing missing;
    /** What stands in for a missing value where {@code missing} is VALUE: a Double, a BigInteger or a String. */
    final Object missingValue;
    final double offset;
    final double scale;
    /** Null where the field is no category. */
    final List<String> categories;
    /** The code of a category that is not listed; null where that is an error. */
    final Long unseen;
    final int length;
    final Format format;

    FeatureSpec(
            String name,
            String path,
            Missing missing,
            Object missingValue,
            double offset,
            double scale,
            List<String> categories,
            Long unseen,
            int length,
            Format format) {
        this.name = name;
        this.path = path;
        this.missing = missing;
        this.missingValue = missingValue;
        this.offset = offset;
        this.scale = scale;
        this.categories = categories;
        this.unseen = unseen;
        this.length = length;
        this.format = format;
    }

    /** What happens to an absent field, a null and a NaN. */
    enum Missing {
        NAN,
        ERROR,
        VALUE
    }

    /** How a field holds several cells. */
    enum Format {
        ONE_CELL,
        ARRAY,
        CSV
    }
}
