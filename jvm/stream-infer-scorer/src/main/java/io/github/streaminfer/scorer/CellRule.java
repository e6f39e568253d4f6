package io.github.streaminfer.scorer;

import io.github.streaminfer.scorer.FeatureSpec.Missing;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.util.Utf8;

/**
 * What one value becomes in one cell. In order:
 *
 * <ol>
 *   <li>A missing value (null, NaN) is NaN, the value of the policy, which is the cell itself, or a reject.
 *   <li>A category becomes its code, compared as whole text; the code is the cell.
 *   <li>A number or boolean becomes {@code (double(value) + offset) * scale}, cast once. Infinite values are refused, and
 *       so is a number that its cell cannot hold.
 *   <li>An int64 cell takes integers as they are; with an offset or scale that is not exact in integers, and for values
 *       that are no integers, the rule is computed in doubles and cut towards zero.
 *   <li>A string cell takes text only.
 * </ol>
 */
abstract class CellRule {
    private static final Fault MISSING = new Fault(Status.MISSING_FEATURE, "expected a value, found none");
    private static final Fault INFINITE =
            new Fault(Status.NOT_FINITE, "expected a finite number, found an infinite one");
    private static final Fault TOO_LARGE = new Fault(Status.OUT_OF_RANGE, "the integer does not fit int64");

    /** Null where a missing value is a reject. */
    private final Object missing;

    private CellRule(Object missing) {
        this.missing = missing;
    }

    /** The rule of a feature for an input of this type. */
    static CellRule of(FeatureSpec feature, CellType type) {
        Object missing = feature.missingValue;
        if (feature.missing == Missing.NAN && type.isFloat()) {
            missing = Double.NaN;
        }
        if (feature.categories != null) {
            return new Category(missing, feature);
        }
        if (type == CellType.STRING) {
            return new Text(missing);
        }
        return type == CellType.INT64 ? new Whole(missing, feature) : new Real(missing, feature, type);
    }

    /** Writes the cell of a value. */
    final void write(Object value, InputCells target, int row, int column) throws BadValue {
        if (value == null || isNaN(value)) {
            if (missing == null) {
                throw new BadValue(MISSING);
            }
            target.putConstant(row, column, missing);
            return;
        }
        if (value instanceof Fault) {
            throw new BadValue((Fault) value);
        }
        writePresent(value, target, row, column);
    }

    abstract void writePresent(Object value, InputCells target, int row, int column) throws BadValue;

    private static boolean isNaN(Object value) {
        return (value instanceof Double && ((Double) value).isNaN())
                || (value instanceof Float && ((Float) value).isNaN());
    }

    /** A finite number as a double, from a number within int64 or a boolean. */
    private static double number(Object value) throws BadValue {
        if (value instanceof Boolean) {
            return (Boolean) value ? 1 : 0;
        }
        if (!(value instanceof Number)) {
            throw BadValue.wrongType("a number", value);
        }
        if (value instanceof BigInteger && ((BigInteger) value).bitLength() >= Long.SIZE) {
            throw new BadValue(TOO_LARGE);
        }
        double number = ((Number) value).doubleValue();
        if (Double.isInfinite(number)) {
            throw new BadValue(INFINITE);
        }
        return number;
    }

    private static final class Real extends CellRule {
        private final double offset;
        private final double scale;
        private final boolean isSingle;
        private final Fault tooLarge;

        Real(Object missing, FeatureSpec feature, CellType type) {
            super(missing);
            offset = feature.offset;
            scale = feature.scale;
            isSingle = type == CellType.FLOAT32;
            tooLarge = new Fault(Status.OUT_OF_RANGE, "the number does not fit " + type.label());
        }

        @Override
        void writePresent(Object value, InputCells target, int row, int column) throws BadValue {
            double cell = (number(value) + offset) * scale;
            if (!Double.isFinite(cell) || (isSingle && Float.isInfinite((float) cell))) {
                throw new BadValue(tooLarge);
            }
            target.put(row, column, cell);
        }
    }

    private static final class Whole extends CellRule {
        private final double offset;
        private final double scale;
        /** Null where the rule is not exact in integers. */
        private final BigInteger wholeOffset;

        Whole(Object missing, FeatureSpec feature) {
            super(missing);
            offset = feature.offset;
            scale = feature.scale;
            boolean isExact = scale == 1 && offset == Math.rint(offset);
            wholeOffset = isExact ? new BigDecimal(offset).toBigInteger() : null;
        }

        @Override
        void writePresent(Object value, InputCells target, int row, int column) throws BadValue {
            boolean isReal = value instanceof Double || value instanceof Float;
            if (wholeOffset == null || isReal) {
                double cell = (number(value) + offset) * scale;
                // The limits are powers of two; the upper one itself is beyond int64.
                if (!(cell >= -0x1p63 && cell < 0x1p63)) {
                    throw new BadValue(TOO_LARGE);
                }
                target.put(row, column, (long) cell);
                return;
            }
            number(value);
            BigInteger sum = whole(value).add(wholeOffset);
            if (sum.bitLength() >= Long.SIZE) {
                throw new BadValue(TOO_LARGE);
            }
            target.put(row, column, sum.longValue());
        }

        private static BigInteger whole(Object value) {
            if (value instanceof Boolean) {
                return (Boolean) value ? BigInteger.ONE : BigInteger.ZERO;
            }
            return value instanceof BigInteger ? (BigInteger) value : BigInteger.valueOf(((Number) value).longValue());
        }
    }

    private static final class Category extends CellRule {
        private static final Fault UNSEEN =
                new Fault(Status.UNSEEN_CATEGORY, "expected a known category, found another");

        /** By the bytes of the category. */
        private final Map<Utf8, Long> codes = new HashMap<>();
        /** By the category as Java has text. */
        private final Map<String, Long> codesOfText = new HashMap<>();
        private final Long unseen;

        Category(Object missing, FeatureSpec feature) {
            super(missing);
            for (int code = 0; code < feature.categories.size(); code++) {
                String category = feature.categories.get(code);
                codes.put(new Utf8(category.getBytes(StandardCharsets.UTF_8)), (long) code);
                codesOfText.put(category, (long) code);
            }
            unseen = feature.unseen;
        }

        @Override
        void writePresent(Object value, InputCells target, int row, int column) throws BadValue {
            if (!(value instanceof CharSequence)) {
                throw BadValue.wrongType("text", value);
            }
            Long code = value instanceof Utf8 ? codes.get(value) : codesOfText.get(value.toString());
            if (code == null) {
                code = unseen(value);
            }
            target.put(row, column, code);
        }

        private long unseen(Object value) throws BadValue {
            if (value instanceof Utf8 && !Values.isValid((Utf8) value)) {
                throw new BadValue(Text.NOT_UTF8);
            }
            if (unseen == null) {
                throw new BadValue(UNSEEN);
            }
            return unseen;
        }
    }

    private static final class Text extends CellRule {
        static final Fault NOT_UTF8 = new Fault(Status.INVALID_UTF8, "text is not UTF-8");

        Text(Object missing) {
            super(missing);
        }

        @Override
        void writePresent(Object value, InputCells target, int row, int column) throws BadValue {
            if (!(value instanceof CharSequence)) {
                throw BadValue.wrongType("text", value);
            }
            if (!Values.isValid((CharSequence) value)) {
                throw new BadValue(NOT_UTF8);
            }
            target.put(row, column, value.toString());
        }
    }
}
