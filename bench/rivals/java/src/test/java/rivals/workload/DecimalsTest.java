package rivals.workload;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The scan gives what the library gives, bit for bit. */
class DecimalsTest {
    @ParameterizedTest
    @ValueSource(strings = {
        "0", "-0", "-0.0", "1", "0.1", ".5", "5.", "-12.25", "0.00000001", "1e-3", "2.5E7", "9007199254740993",
        "0.123456789012345678", "123456789012345678901234567890", "0.0000000000000000000000001"
    })
    void spelledInManyWays(String text) {
        assertBits(text);
    }

    @Test
    void randomNumbers() {
        Random random = new Random(1);
        for (int round = 0; round < 100_000; round++) {
            assertBits(Double.toString(random.nextGaussian()));
            assertBits(String.format(Locale.ROOT, "%.8f", random.nextDouble()));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"-", ".", "1.2.3", "1-2", "x"})
    void whatIsNoNumberIsRefused(String text) {
        assertThrows(NumberFormatException.class, () -> parse(text));
    }

    private static void assertBits(String text) {
        int expected = Float.floatToRawIntBits((float) Double.parseDouble(text));
        assertEquals(expected, Float.floatToRawIntBits(parse(text)), text);
    }

    private static float parse(String text) {
        byte[] padded = ("," + text + ",").getBytes(StandardCharsets.US_ASCII);
        return Decimals.parse(padded, 1, padded.length - 1);
    }
}
