package rivals.workload;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is scanned or streamed by hand gives the rows and the outputs that Jackson's data binding gives. */
class JsonTest {
    private static final Features FEATURES = new Features(List.of(
            new Feature(List.of("amount"), Map.of()),
            new Feature(List.of("channel"), Map.of("chip", 0, "online", 1)),
            new Feature(List.of("geo", "lat"), Map.of()),
            new Feature(List.of("authenticated"), Map.of()),
            new Feature(List.of("seconds_since_last"), Map.of())));

    @ParameterizedTest
    @ValueSource(strings = {
        """
        {"transaction_id": "t-1", "amount": 12.34, "channel": "online", "geo": {"lat": 52.5, "lon": 13.4},
         "authenticated": true, "seconds_since_last": 77, "currency": "EUR"}""",
        """
        {"channel": "carrier pigeon", "other": {"amount": [1, 2]}, "geo": null, "amount": 3, "seconds_since_last": null,
         "authenticated": false, "transaction_id": "a \\"quoted\\" id"}""",
    })
    void paymentsAreEqual(String event) {
        assertEqual(new BoundPayments(FEATURES), new StreamedPayments("transaction_id", FEATURES), event);
    }

    @Test
    void imagesAreEqual() {
        Random random = new Random(1);
        String pixels = random.doubles(BoundImages.PIXELS)
                .mapToObj(pixel -> String.format(Locale.ROOT, "%.8f", pixel))
                .collect(Collectors.joining(","));
        for (String event : List.of(
                "{\"creationTimestamp\":17,\"dataPoint\":\"" + pixels + "\"}",
                "{\"dataPoint\": \"" + pixels + "\", \"other\": null, \"creationTimestamp\": 18 }")) {
            assertEqual(new BoundImages(), new ScannedImages(), event);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{}",
        "{\"dataPoint\":\"1,2\",\"creationTimestamp\":1}",
        "{\"creationTimestamp\":1}",
        "[1]",
        "{\"dataPoint\":\"1,2",
        ""
    })
    void whatIsNoImageIsRefused(String event) {
        FloatBuffer rows = FloatBuffer.allocate(BoundImages.PIXELS);
        byte[] value = event.getBytes(StandardCharsets.UTF_8);
        assertThrows(RuntimeException.class, () -> new ScannedImages().decode(value, rows, 0));
    }

    private static <A, B> void assertEqual(Workload<A> byLibrary, Workload<B> byHand, String event) {
        byte[] value = event.getBytes(StandardCharsets.UTF_8);
        float[] expected = new float[byLibrary.width()];
        float[] actual = new float[byHand.width()];
        byte[] bound = byLibrary.encode(byLibrary.decode(value, FloatBuffer.wrap(expected), 0), 0.25f);
        byte[] walked = byHand.encode(byHand.decode(value, FloatBuffer.wrap(actual), 0), 0.25f);
        assertArrayEquals(expected, actual);
        assertEquals(text(bound), text(walked));
    }

    private static String text(byte[] value) {
        return new String(value, StandardCharsets.UTF_8);
    }
}
