package rivals.workload;

import java.nio.charset.StandardCharsets;

/** Scored events in JSON, put together from bytes. */
final class ScoredText {
    private static final byte[] BEFORE_ID = "{\"id\":".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] BEFORE_SCORE = ",\"score\":".getBytes(StandardCharsets.US_ASCII);

    private ScoredText() {}

    /** {@code {"id": ..., "score": ...}} with the id as it is in JSON, quotes included. */
    static byte[] write(byte[] id, float score) {
        String number = Float.toString(score);
        byte[] output = new byte[BEFORE_ID.length + id.length + BEFORE_SCORE.length + number.length() + 1];
        int at = append(output, 0, BEFORE_ID);
        at = append(output, at, id);
        at = append(output, at, BEFORE_SCORE);
        for (int digit = 0; digit < number.length(); digit++) {
            output[at++] = (byte) number.charAt(digit);
        }
        output[at] = '}';
        return output;
    }

    private static int append(byte[] output, int at, byte[] part) {
        System.arraycopy(part, 0, output, at, part.length);
        return at + part.length;
    }
}
