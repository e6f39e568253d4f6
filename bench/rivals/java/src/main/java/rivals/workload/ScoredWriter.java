package rivals.workload;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;

/** Scored events in JSON by Jackson's data binding. */
final class ScoredWriter {
    private final ObjectWriter writer = new ObjectMapper().writerFor(Scored.class);

    /** {@code {"id": ..., "score": ...}}, the id a text or a number as it is. */
    byte[] write(Object id, float score) {
        try {
            return writer.writeValueAsBytes(new Scored(id, score));
        } catch (JsonProcessingException failure) {
            throw new IllegalStateException("A scored event could not be written", failure);
        }
    }

    record Scored(Object id, float score) {}
}
