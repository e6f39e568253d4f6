package io.github.streaminfer.scorer;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.file.SeekableByteArrayInput;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.IndexedRecord;

/** The events that prove a model, and what it must answer to each. */
final class GoldenVectors {
    final List<Event> events;
    final List<Answer> answers;

    private GoldenVectors(List<Event> events, List<Answer> answers) {
        this.events = events;
        this.answers = answers;
    }

    /**
     * Reads the vectors of a bundle.
     *
     * @throws BundleException a file is damaged, or does not hold as many records as the manifest says
     */
    static GoldenVectors read(Bundle bundle) {
        List<GenericRecord> values = records(bundle, Manifest.GOLDEN_EVENTS);
        List<GenericRecord> envelopes = bundle.files.containsKey(Manifest.GOLDEN_RECORDS)
                ? records(bundle, Manifest.GOLDEN_RECORDS)
                : null;
        List<Event> events = new ArrayList<>(values.size());
        List<Answer> answers = new ArrayList<>(values.size());
        String file = Manifest.GOLDEN_RECORDS;
        try {
            for (int row = 0; row < values.size(); row++) {
                events.add(envelopes == null
                        ? Event.of(values.get(row))
                        : new GoldenEvent(values.get(row), envelopes.get(row)));
            }
            file = Manifest.GOLDEN_ANSWERS;
            for (GenericRecord stored : records(bundle, Manifest.GOLDEN_ANSWERS)) {
                answers.add(new Answer(stored));
            }
        } catch (AvroRuntimeException | ClassCastException | NullPointerException lacking) {
            throw new BundleException(file + " lacks a field; export the model again", lacking);
        }
        return new GoldenVectors(events, answers);
    }

    private static List<GenericRecord> records(Bundle bundle, String name) {
        List<GenericRecord> records = new ArrayList<>();
        int rows = bundle.manifest.golden.rows;
        try (DataFileReader<GenericRecord> reader = new DataFileReader<>(
                new SeekableByteArrayInput(bundle.files.get(name)), new GenericDatumReader<>())) {
            while (records.size() <= rows && reader.hasNext()) {
                records.add(reader.next());
            }
        } catch (IOException | AvroRuntimeException | ClassCastException damaged) {
            throw new BundleException(
                    name + ": it is not a readable Avro container (" + damaged.getClass().getSimpleName()
                            + "); export the model again",
                    damaged);
        }
        if (records.size() != rows) {
            throw new BundleException(name + " does not hold the " + rows + " records that " + Manifest.FILE
                    + " says; export the model again");
        }
        return records;
    }

    private static byte[] bytes(Object value) {
        if (value == null) {
            return null;
        }
        ByteBuffer view = ((ByteBuffer) value).duplicate();
        byte[] bytes = new byte[view.remaining()];
        view.get(bytes);
        return bytes;
    }

    /** What the model must answer to one event. */
    static final class Answer {
        /** NaN where there is a reason. */
        final float score;

        final boolean flagged;
        /** Of the reject; null for an event that is scored. */
        final String reason;
        /** Empty for a model of one or two classes, and where there is a reason. */
        final float[] probabilities;

        private Answer(GenericRecord stored) {
            Object found = stored.get("score");
            score = found == null ? Float.NaN : (Float) found;
            flagged = (Boolean) stored.get("flagged");
            Object why = stored.hasField("reason") ? stored.get("reason") : null;
            reason = why == null ? null : why.toString();
            Object classes = stored.hasField("probabilities") ? stored.get("probabilities") : null;
            List<?> numbers = classes == null ? List.of() : (List<?>) classes;
            probabilities = new float[numbers.size()];
            for (int index = 0; index < probabilities.length; index++) {
                probabilities[index] = (Float) numbers.get(index);
            }
        }
    }

    /** An event with what its record carried beside the value. */
    private static final class GoldenEvent implements Event {
        private final IndexedRecord value;
        private final byte[] key;
        private final long timestampMs;
        private final List<?> headers;

        GoldenEvent(IndexedRecord value, GenericRecord envelope) {
            this.value = value;
            this.key = bytes(envelope.get("key"));
            this.timestampMs = (Long) envelope.get("timestamp_ms");
            this.headers = (List<?>) envelope.get("headers");
        }

        @Override
        public IndexedRecord value() {
            return value;
        }

        @Override
        public byte[] key() {
            return key;
        }

        @Override
        public long timestampMs() {
            return timestampMs;
        }

        @Override
        public byte[] lastHeader(String name) {
            byte[] last = null;
            for (Object header : headers) {
                GenericRecord each = (GenericRecord) header;
                if (each.get("name").toString().equals(name)) {
                    last = bytes(each.get("value"));
                }
            }
            return last;
        }
    }
}
