package rivals.workload;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.FloatBuffer;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Avro events as generic records: decoders, encoders and records are reused, as Avro's documentation advises, its fast
 * reader is on, and fields are found by position.
 */
final class AvroRecords implements Workload<String> {
    private final GenericDatumReader<GenericRecord> reader;
    private final GenericDatumWriter<GenericRecord> writer;
    private final GenericRecord scored;
    private final int id;
    private final Feature[] features;
    private final int[][] positions;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private GenericRecord event;
    private BinaryDecoder decoder;
    private BinaryEncoder encoder;

    AvroRecords(Schema schema, Schema outputSchema, String idField, Features features) {
        GenericData data = new GenericData().setFastReaderEnabled(true);
        reader = new GenericDatumReader<>(schema, schema, data);
        writer = new GenericDatumWriter<>(outputSchema, data);
        scored = new GenericData.Record(outputSchema);
        id = schema.getField(idField).pos();
        this.features = features.list().toArray(Feature[]::new);
        positions = features.list().stream().map(feature -> positions(schema, feature)).toArray(int[][]::new);
    }

    @Override
    public int width() {
        return features.length;
    }

    @Override
    public String decode(byte[] value, FloatBuffer rows, int first) {
        AvroFrame.check(value);
        decoder = DecoderFactory.get().binaryDecoder(value, AvroFrame.BYTES, value.length - AvroFrame.BYTES, decoder);
        try {
            event = reader.read(event, decoder);
        } catch (IOException failure) {
            throw new IllegalArgumentException("An event is not of its schema", failure);
        }
        for (int slot = 0; slot < features.length; slot++) {
            rows.put(first + slot, features[slot].cell(field(event, positions[slot])));
        }
        return event.get(id).toString();
    }

    @Override
    public byte[] encode(String id, float score) {
        scored.put("id", id);
        scored.put("score", score);
        scored.put("flagged", score >= THRESHOLD);
        bytes.reset();
        bytes.writeBytes(AvroFrame.newOutput(AvroFrame.BYTES));
        encoder = EncoderFactory.get().binaryEncoder(bytes, encoder);
        try {
            writer.write(scored, encoder);
            encoder.flush();
        } catch (IOException failure) {
            throw new IllegalStateException("A scored event could not be written", failure);
        }
        return bytes.toByteArray();
    }

    private static Object field(IndexedRecord event, int[] positions) {
        Object value = event;
        for (int position : positions) {
            if (value == null) {
                return null;
            }
            value = ((IndexedRecord) value).get(position);
        }
        return value;
    }

    private static int[] positions(Schema schema, Feature feature) {
        int[] positions = new int[feature.path().size()];
        Schema record = schema;
        for (int level = 0; level < positions.length; level++) {
            Schema.Field field = record.getField(feature.path().get(level));
            if (field == null) {
                throw new IllegalArgumentException("The schema has no field " + String.join(".", feature.path()));
            }
            positions[level] = field.pos();
            record = AvroCompiler.withoutNull(field.schema());
        }
        return positions;
    }
}
