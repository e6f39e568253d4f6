package rivals.workload;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.junit.jupiter.api.Test;

/** The walk over Avro's bytes gives the rows and the outputs that Avro's own classes give. */
class AvroTest {
    private static final Schema PLACE = new Schema.Parser()
            .parse("""
                    {"type": "record", "name": "Place", "fields": [
                      {"name": "lat", "type": "double"}, {"name": "far", "type": ["float", "null"]}]}""");
    private static final Schema CHANNEL = Schema.createEnum("Channel", null, null, List.of("chip", "online", "swipe"));
    private static final Schema INPUT = Schema.createRecord("Event", null, null, false, List.of(
            new Schema.Field("skipped", Schema.create(Schema.Type.STRING)),
            new Schema.Field("id", Schema.create(Schema.Type.STRING)),
            new Schema.Field("amount", Schema.create(Schema.Type.DOUBLE)),
            new Schema.Field("place", Schema.createUnion(Schema.create(Schema.Type.NULL), PLACE)),
            new Schema.Field("channel", CHANNEL),
            new Schema.Field("country", Schema.create(Schema.Type.STRING)),
            new Schema.Field("since", Schema.createUnion(
                    Schema.create(Schema.Type.NULL), Schema.create(Schema.Type.LONG))),
            new Schema.Field("hour", Schema.create(Schema.Type.INT)),
            new Schema.Field("trusted", Schema.create(Schema.Type.BOOLEAN))));
    private static final Schema OUTPUT = new Schema.Parser()
            .parse("""
                    {"type": "record", "name": "Scored", "fields": [{"name": "id", "type": "string"},
                      {"name": "score", "type": "float"}, {"name": "flagged", "type": "boolean"}]}""");
    private static final Features FEATURES = new Features(List.of(
            number("amount"),
            category("channel", Map.of("chip", 0, "online", 1)),
            number("place", "far"),
            number("place", "lat"),
            category("country", Map.of("DE", 0, "FR", 1, "ÎL", 2)),
            number("since"),
            number("hour"),
            number("trusted")));

    private final AvroRecords byLibrary = new AvroRecords(INPUT, OUTPUT, "id", FEATURES);
    private final AvroWalk byHand = new AvroWalk(INPUT, "id", FEATURES);
    private final FloatBuffer rows = FloatBuffer.allocate(2 * FEATURES.size());

    @Test
    void rowsAndOutputsAreEqual() throws IOException {
        Random random = new Random(1);
        for (int round = 0; round < 10_000; round++) {
            byte[] event = encode(draw(random));
            float score = random.nextFloat();
            byte[] expected = byLibrary.encode(byLibrary.decode(event, rows, 0), score);
            byte[] walked = byHand.encode(byHand.decode(event, rows, FEATURES.size()), score);
            assertArrayEquals(cells(0), cells(1));
            assertArrayEquals(expected, walked);
        }
    }

    @Test
    void cellsAreThoseOfTheEvent() throws IOException {
        GenericRecord event = draw(new Random(1));
        event.put("amount", 2.5);
        event.put("channel", new GenericData.EnumSymbol(CHANNEL, "swipe"));
        event.put("place", null);
        event.put("country", "ÎL");
        event.put("since", -70_000L);
        event.put("hour", 23);
        event.put("trusted", true);
        byHand.decode(encode(event), rows, 0);
        float missing = Feature.MISSING;
        assertArrayEquals(new float[] {2.5f, Feature.UNSEEN, missing, missing, 2, -70_000, 23, 1}, cells(0));
    }

    @Test
    void scoresFromTheThresholdOnAreFlagged() throws IOException {
        byte[] event = encode(draw(new Random(1)));
        byte[] below = byHand.encode(byHand.decode(event, rows, 0), Math.nextDown(Workload.THRESHOLD));
        byte[] at = byHand.encode(byHand.decode(event, rows, 0), Workload.THRESHOLD);
        assertEquals(0, below[below.length - 1]);
        assertEquals(1, at[at.length - 1]);
    }

    @Test
    void whatIsNoEventIsRefused() throws IOException {
        byte[] event = encode(draw(new Random(1)));
        byte[] strange = event.clone();
        strange[4] = 7;
        byte[] longer = Arrays.copyOf(event, event.length + 1);
        byte[] shorter = Arrays.copyOf(event, event.length - 1);
        for (byte[] bad : List.of(strange, longer, shorter)) {
            assertThrows(RuntimeException.class, () -> byHand.decode(bad, rows, 0));
        }
    }

    private float[] cells(int row) {
        float[] cells = new float[FEATURES.size()];
        rows.get(row * cells.length, cells);
        return cells;
    }

    private static GenericRecord draw(Random random) {
        GenericRecord place = new GenericData.Record(PLACE);
        place.put("lat", random.nextGaussian());
        place.put("far", random.nextBoolean() ? null : random.nextFloat());
        GenericRecord event = new GenericData.Record(INPUT);
        event.put("skipped", "x".repeat(random.nextInt(200)));
        event.put("id", "é".repeat(random.nextInt(100)));
        event.put("amount", random.nextGaussian());
        event.put("place", random.nextBoolean() ? null : place);
        event.put("channel", new GenericData.EnumSymbol(CHANNEL, CHANNEL.getEnumSymbols().get(random.nextInt(3))));
        event.put("country", List.of("DE", "FR", "ÎL", "XX", "").get(random.nextInt(5)));
        event.put("since", random.nextBoolean() ? null : random.nextLong() >> random.nextInt(64));
        event.put("hour", random.nextInt());
        event.put("trusted", random.nextBoolean());
        return event;
    }

    private static byte[] encode(GenericRecord event) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(new byte[] {0, 0, 0, 0, 1});
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(INPUT).write(event, encoder);
        encoder.flush();
        return bytes.toByteArray();
    }

    private static Feature number(String... path) {
        return new Feature(List.of(path), Map.of());
    }

    private static Feature category(String name, Map<String, Integer> codes) {
        return new Feature(List.of(name), codes);
    }
}
