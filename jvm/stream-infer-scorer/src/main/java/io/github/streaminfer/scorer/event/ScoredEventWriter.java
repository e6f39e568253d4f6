package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.ModelInfo;
import io.github.streaminfer.scorer.Scored;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.generic.IndexedRecord;

/**
 * Writes scored events, with the same bytes as stream_infer in Python. May be used by many threads at once.
 *
 * <p>A scored event has a fixed part (score, flag, model, place of the input), for a model of more than two classes
 * their probabilities, and the fields that are carried over from the input.
 */
public final class ScoredEventWriter {
    /**
     * Prepares for one model.
     *
     * @param model the one that scores
     * @param carried names of top-level fields of {@link ModelInfo#inputSchema} that every scored event shall have
     * @throws IllegalArgumentException there is no such field, it is named twice, or a scored event has one of that name
     */
    public ScoredEventWriter(ModelInfo model, List<String> carried) {
        throw new UnsupportedOperationException();
    }

    /**
     * What a scored event looks like.
     *
     * @return the schema to register for the output topic
     */
    public Schema schema() {
        throw new UnsupportedOperationException();
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
        throw new UnsupportedOperationException();
    }
}
