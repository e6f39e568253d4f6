package rivals.workload;

import java.nio.charset.StandardCharsets;

/** Decimal numbers from ASCII. */
final class Decimals {
    /** Powers of ten that a double holds exactly. */
    private static final double[] POWERS = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22
    };
    /** So many digits fit a long. */
    private static final int MOST_DIGITS = 18;

    /** A double holds every whole number up to here exactly, so that one division is all that rounds. */
    private static final long MOST_EXACT = 1L << 53;

    private Decimals() {}

    /**
     * The float32 nearest to the double that {@code bytes[from:to]} spells.
     *
     * @throws NumberFormatException it spells none
     */
    static float parse(byte[] bytes, int from, int to) {
        boolean negative = bytes[from] == '-';
        long digits = 0;
        int count = 0;
        int point = -1;
        for (int at = negative ? from + 1 : from; at < to; at++) {
            int digit = bytes[at] - '0';
            if (digit >= 0 && digit <= 9) {
                digits = digits * 10 + digit;
                count++;
            } else if (bytes[at] == '.' && point < 0) {
                point = count;
            } else {
                return parseByLibrary(bytes, from, to);
            }
        }
        if (count == 0 || count > MOST_DIGITS || digits > MOST_EXACT) {
            return parseByLibrary(bytes, from, to);
        }
        double value = point < 0 ? digits : digits / POWERS[count - point];
        return (float) (negative ? -value : value);
    }

    private static float parseByLibrary(byte[] bytes, int from, int to) {
        return (float) Double.parseDouble(new String(bytes, from, to - from, StandardCharsets.US_ASCII));
    }
}
