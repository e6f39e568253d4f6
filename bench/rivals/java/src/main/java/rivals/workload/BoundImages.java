package rivals.workload;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.nio.FloatBuffer;

/** The event of the Crayfish study by Jackson's data binding, its pixels by {@code split} and {@code parseFloat}. */
final class BoundImages implements Workload<Long> {
    static final int PIXELS = 784;

    private final ObjectReader reader = new ObjectMapper().readerFor(Image.class);
    private final ScoredWriter writer = new ScoredWriter();

    @Override
    public int width() {
        return PIXELS;
    }

    @Override
    public Long decode(byte[] value, FloatBuffer rows, int first) {
        Image image = parse(value);
        String[] pixels = image.dataPoint.split(",");
        if (pixels.length != PIXELS) {
            throw new IllegalArgumentException("An event has " + pixels.length + " pixels, not " + PIXELS);
        }
        for (int slot = 0; slot < PIXELS; slot++) {
            rows.put(first + slot, Float.parseFloat(pixels[slot]));
        }
        return image.creationTimestamp;
    }

    @Override
    public byte[] encode(Long id, float score) {
        return writer.write(id, score);
    }

    private Image parse(byte[] value) {
        try {
            return reader.readValue(value);
        } catch (IOException failure) {
            throw new IllegalArgumentException("An event is not an image in JSON", failure);
        }
    }

    /** What is needed of the study's event. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    static final class Image {
        public long creationTimestamp;
        public String dataPoint;
    }
}
