package rivals.workload;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Codes of texts by their bytes: a hash table with open addressing, at most a quarter full. */
final class TextCodes {
    private final byte[][] texts;
    private final float[] codes;
    private final int mask;

    TextCodes(Feature feature) {
        int size = Integer.highestOneBit(Math.max(1, feature.codes().size())) * 8;
        texts = new byte[size][];
        codes = new float[size];
        mask = size - 1;
        feature.codes().forEach((text, code) -> put(text.getBytes(StandardCharsets.UTF_8), code));
    }

    /** The code of the text in {@code bytes[from:to]}. */
    float code(byte[] bytes, int from, int to) {
        int at = hash(bytes, from, to) & mask;
        while (texts[at] != null) {
            if (Arrays.equals(texts[at], 0, texts[at].length, bytes, from, to)) {
                return codes[at];
            }
            at = at + 1 & mask;
        }
        return Feature.UNSEEN;
    }

    private void put(byte[] text, int code) {
        int at = hash(text, 0, text.length) & mask;
        while (texts[at] != null) {
            at = at + 1 & mask;
        }
        texts[at] = text;
        codes[at] = code;
    }

    private static int hash(byte[] bytes, int from, int to) {
        int hash = 0;
        for (int at = from; at < to; at++) {
            hash = 31 * hash + bytes[at];
        }
        return hash ^ hash >>> 15;
    }
}
