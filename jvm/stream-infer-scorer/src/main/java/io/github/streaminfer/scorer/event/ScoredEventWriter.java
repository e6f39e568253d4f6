package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.Event;
import io.github.streaminfer.scorer.ModelInfo;
import io.github.streaminfer.scorer.Scored;
import io.github.streaminfer.scorer.Status;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;

/**
 * Writes scored events, with the same bytes as stream_infer in Python. May be used by many threads at once.
 *
 * <p>A scored event has a fixed part (score, flag, model, place of the input), for a model of more than two classes
 * their probabilities, and the fields that are carried over from the input.
 */
public final class ScoredEventWriter {
    private static final int SCORED = 0;

    private final ModelInfo model;
    private final Schema schema;
    private final List<CarriedField> carried;

    /**
     * Prepares for one model.
     *
     * @param model the one that scores
     * @param carried names of top-level fields of {@link ModelInfo#inputSchema} that every scored event shall have
     * @throws IllegalArgumentException there is no such field, it is named twice, or a scored event has one of that name
     */
    public ScoredEventWriter(ModelInfo model, List<String> carried) {
        this.model = model;
        this.schema = OutputSchema.derive(model.inputSchema(), carried, !model.classes().isEmpty());
        this.carried = carried.stream()
                .map(name -> new CarriedField(model.inputSchema().getField(name)))
                .collect(Collectors.toUnmodifiableList());
    }

    /**
     * What a scored event looks like.
     *
     * @return the schema to register for the output topic
     */
    public Schema schema() {
        return schema;
    }

    /**
     * Writes one scored event, without framing.
     *
     * @param scored the answers to a batch
     * @param row which of them; its status is OK
     * @param value the event's value, where the carried fields are found
     * @param place where the event comes from
     * @param scoredAtMs milliseconds since the epoch
     * @return Avro of {@link #schema}
     * @throws RejectedEvent a carried field is absent and has no default, or does not fit its type
     * @throws IllegalArgumentException the row has no score
     */
    public byte[] write(Scored scored, int row, IndexedRecord value, Place place, long scoredAtMs)
            throws RejectedEvent {
        if (scored.status(row) != Status.OK) {
            throw new IllegalArgumentException("row " + row + " has no score but the status " + scored.status(row));
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryEncoder out = EncoderFactory.get().directBinaryEncoder(bytes, null);
        try {
            writeFixed(scored, row, place, scoredAtMs, out);
            for (CarriedField field : carried) {
                field.write(value, out);
            }
            out.flush();
        } catch (IOException impossible) {
            throw new UncheckedIOException("memory cannot be written to", impossible);
        }
        return bytes.toByteArray();
    }

    /** In the order of the fixed part's fields. */
    private void writeFixed(Scored scored, int row, Place place, long scoredAtMs, BinaryEncoder out)
            throws IOException {
        out.writeIndex(1);
        out.writeFloat(scored.score(row));
        out.writeBoolean(scored.flagged(row));
        out.writeEnum(SCORED);
        out.writeDouble(model.threshold());
        out.writeString(model.name());
        out.writeString(model.version());
        out.writeString(model.digest());
        out.writeString(place.topic());
        out.writeInt(place.partition());
        out.writeLong(place.offset());
        boolean hasTimestamp = place.timestampMs() != Event.NO_TIMESTAMP;
        out.writeIndex(hasTimestamp ? 1 : 0);
        if (hasTimestamp) {
            out.writeLong(place.timestampMs());
        }
        out.writeLong(scoredAtMs);
        if (!model.classes().isEmpty()) {
            writeClasses(scored, row, out);
        }
    }

    private static void writeClasses(Scored scored, int row, BinaryEncoder out) throws IOException {
        float[] probabilities = scored.probabilities(row);
        out.writeIndex(1);
        out.writeString(scored.predictedClass(row));
        out.writeIndex(1);
        out.writeArrayStart();
        out.setItemCount(probabilities.length);
        for (float probability : probabilities) {
            out.startItem();
            out.writeFloat(probability);
        }
        out.writeArrayEnd();
    }
}
