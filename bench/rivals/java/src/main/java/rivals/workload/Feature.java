package rivals.workload;

import java.util.List;
import java.util.Map;

/**
 * A cell of the model's row.
 *
 * @param path names of the field and of the records it lies in, outermost first
 * @param codes numbers of the known texts; empty where the field is a number or a boolean
 */
record Feature(List<String> path, Map<String, Integer> codes) {
    static final float MISSING = Float.NaN;
    static final float UNSEEN = -1;

    boolean isCategory() {
        return !codes.isEmpty();
    }

    /** The cell for a text. */
    float code(String text) {
        Integer code = codes.get(text);
        return code == null ? UNSEEN : code;
    }

    /** The cell for a value as the libraries give it. */
    float cell(Object value) {
        if (value == null) {
            return MISSING;
        }
        if (isCategory()) {
            return code(value.toString());
        }
        if (value instanceof Boolean truth) {
            return truth ? 1 : 0;
        }
        return (float) ((Number) value).doubleValue();
    }
}
