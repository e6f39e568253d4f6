package rivals.workload;

import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The event of the Crayfish study by one scan over its bytes: no text is made, numbers are read where they stand.
 *
 * <p>The study's event is one flat object of texts without escapes, of numbers and of null; anything else is refused.
 */
final class ScannedImages implements Workload<byte[]> {
    private static final byte[] ID = "creationTimestamp".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] PIXELS = "dataPoint".getBytes(StandardCharsets.US_ASCII);

    private byte[] bytes;
    private int at;
    private byte[] id;

    @Override
    public int width() {
        return BoundImages.PIXELS;
    }

    @Override
    public byte[] decode(byte[] value, FloatBuffer rows, int first) {
        bytes = value;
        at = 0;
        id = null;
        boolean filled = false;
        expect('{');
        do {
            skipSpaces();
            int from = at + 1;
            skipText();
            int to = at - 1;
            expect(':');
            skipSpaces();
            if (Arrays.equals(bytes, from, to, PIXELS, 0, PIXELS.length)) {
                readPixels(rows, first);
                filled = true;
            } else {
                int begin = at;
                skipValue();
                id = Arrays.equals(bytes, from, to, ID, 0, ID.length) ? Arrays.copyOfRange(bytes, begin, at) : id;
            }
            skipSpaces();
        } while (bytes[at++] == ',');
        if (!filled || id == null || bytes[at - 1] != '}') {
            throw new IllegalArgumentException("An event is not a whole image in JSON");
        }
        return id;
    }

    @Override
    public byte[] encode(byte[] id, float score) {
        return ScoredText.write(id, score);
    }

    private void readPixels(FloatBuffer rows, int first) {
        expect('"');
        int cell = first;
        while (bytes[at] != '"') {
            int from = at;
            while (bytes[at] != ',' && bytes[at] != '"') {
                at++;
            }
            rows.put(cell++, Decimals.parse(bytes, from, at));
            at += bytes[at] == ',' ? 1 : 0;
        }
        at++;
        if (cell != first + BoundImages.PIXELS) {
            throw new IllegalArgumentException("An event has " + (cell - first) + " pixels, not " + BoundImages.PIXELS);
        }
    }

    private void skipValue() {
        if (bytes[at] == '"') {
            skipText();
            return;
        }
        while (bytes[at] != ',' && bytes[at] != '}' && bytes[at] != ' ') {
            at++;
        }
    }

    private void skipSpaces() {
        while (bytes[at] == ' ') {
            at++;
        }
    }

    private void skipText() {
        expect('"');
        while (bytes[at] != '"') {
            if (bytes[at++] == '\\') {
                throw new IllegalArgumentException("A text with an escape is not covered");
            }
        }
        at++;
    }

    private void expect(char wanted) {
        if (bytes[at++] != wanted) {
            throw new IllegalArgumentException("An event has no " + wanted + " at byte " + (at - 1));
        }
    }
}
