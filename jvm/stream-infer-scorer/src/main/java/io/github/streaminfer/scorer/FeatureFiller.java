package io.github.streaminfer.scorer;

import io.github.streaminfer.scorer.FeatureSpec.Format;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** How one feature fills its cells: columns {@code start} to {@code start + length} of one input. */
final class FeatureFiller {
    /** A finite decimal number; stricter than Java's own parser. Nothing in it can be matched in two ways. */
    private static final Pattern NUMBER =
            Pattern.compile("[+-]?(?:\\d++(?:\\.\\d*+)?|\\.\\d++)(?:[eE][+-]?\\d++)?");

    private static final Pattern WHOLE = Pattern.compile("[+-]?\\d++");
    /** Longer text is a double, so that digits without end cost no more than their length. */
    private static final int MAX_WHOLE_CHARS = 20;

    final FeatureSpec feature;
    private final int input;
    private final int start;
    private final CellRule rule;
    private final boolean isText;

    /** For the feature that begins at a column of the input of this index. */
    FeatureFiller(FeatureSpec feature, CellType type, int input, int start) {
        this.feature = feature;
        this.input = input;
        this.start = start;
        this.rule = CellRule.of(feature, type);
        this.isText = type == CellType.STRING || feature.categories != null;
    }

    /** Fills the cells of a row; the fault of a value that the rules refuse, else null. */
    Fault fill(Object value, Cells cells, int row) {
        InputCells target = cells.input(input);
        try {
            if (feature.format == Format.ONE_CELL) {
                rule.write(value, target, row, start);
            } else {
                fillList(value, target, row);
            }
            return null;
        } catch (BadValue bad) {
            boolean isNamed = feature.name.equals(feature.path);
            return bad.fault.at(
                    isNamed ? "feature " + feature.name : "feature " + feature.name + " (field " + feature.path + ")");
        }
    }

    private void fillList(Object value, InputCells target, int row) throws BadValue {
        if (value instanceof Fault) {
            throw new BadValue((Fault) value);
        }
        if (value == null) {
            for (int cell = 0; cell < feature.length; cell++) {
                rule.write(null, target, row, start + cell);
            }
            return;
        }
        List<?> items = items(value);
        if (items.size() != feature.length) {
            throw new BadValue(
                    Status.WRONG_TYPE, "expected " + feature.length + " items, found " + items.size());
        }
        for (int cell = 0; cell < items.size(); cell++) {
            rule.write(items.get(cell), target, row, start + cell);
        }
    }

    private List<?> items(Object value) throws BadValue {
        if (feature.format == Format.ARRAY) {
            if (!(value instanceof List)) {
                throw BadValue.wrongType("an array", value);
            }
            return (List<?>) value;
        }
        if (!(value instanceof CharSequence)) {
            throw BadValue.wrongType("comma-joined text", value);
        }
        String[] parts = value.toString().split(",", -1);
        if (isText) {
            return List.of(parts);
        }
        List<Object> numbers = new ArrayList<>(parts.length);
        for (String part : parts) {
            numbers.add(number(stripped(part)));
        }
        return numbers;
    }

    /** Without spaces and tabs at its ends. */
    private static String stripped(String text) {
        int first = 0;
        int end = text.length();
        while (first < end && isBlank(text.charAt(first))) {
            first++;
        }
        while (end > first && isBlank(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(first, end);
    }

    private static boolean isBlank(char letter) {
        return letter == ' ' || letter == '\t';
    }

    /** A number of comma-joined text. Empty text and {@code nan} are missing values. */
    private static Object number(String text) throws BadValue {
        if (text.isEmpty() || text.equalsIgnoreCase("nan")) {
            return null;
        }
        if (!NUMBER.matcher(text).matches()) {
            throw new BadValue(Status.WRONG_TYPE, "expected comma-joined numbers, found other text");
        }
        boolean isWhole = text.length() <= MAX_WHOLE_CHARS && WHOLE.matcher(text).matches();
        return isWhole ? new BigInteger(text) : (Object) Double.valueOf(text);
    }
}
