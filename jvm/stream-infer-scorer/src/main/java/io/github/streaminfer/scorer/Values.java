package io.github.streaminfer.scorer;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;
import org.apache.avro.util.Utf8;

/** Values as the feature rules take them: null, Boolean, Number, CharSequence, byte[], List, or a {@link Fault}. */
final class Values {
    /** Half of a surrogate pair: in no valid text. */
    private static final char ESCAPE = '\uDC00';

    private static final char REPLACEMENT = '\uFFFD';

    private Values() {}

    /** The type of a value in words. */
    static String describe(Object value) {
        if (value == null) {
            return "null";
        }
        if (value instanceof Boolean) {
            return "a boolean";
        }
        if (value instanceof Float || value instanceof Double) {
            return "a number";
        }
        if (value instanceof Integer || value instanceof Long || value instanceof BigInteger) {
            return "an integer";
        }
        if (value instanceof CharSequence) {
            return "text";
        }
        if (value instanceof byte[]) {
            return "bytes";
        }
        return value instanceof Collection ? "an array" : "an object";
    }

    /** Text from bytes. What is not UTF-8 becomes text that equals no valid one and that {@link #isValid} refuses. */
    static String text(byte[] bytes) {
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
        ByteBuffer in = ByteBuffer.wrap(bytes);
        CharBuffer out = CharBuffer.allocate(bytes.length);
        while (true) {
            CoderResult result = decoder.decode(in, out, true);
            if (!result.isError()) {
                return out.flip().toString();
            }
            for (int index = 0; index < result.length(); index++) {
                out.put((char) (ESCAPE + (in.get() & 0xFF)));
            }
        }
    }

    /** Text from bytes; null where they are not UTF-8. */
    static String strictText(byte[] bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException malformed) {
            return null;
        }
    }

    /** True for text that has an encoding in UTF-8, and that was not made from bytes that are none. */
    static boolean isValid(CharSequence text) {
        if (text instanceof Utf8) {
            Utf8 utf8 = (Utf8) text;
            // Avro puts the replacement character where bytes are no UTF-8, and valid text may hold it, too.
            return utf8.toString().indexOf(REPLACEMENT) < 0
                    || strictText(Arrays.copyOf(utf8.getBytes(), utf8.getByteLength())) != null;
        }
        return StandardCharsets.UTF_8.newEncoder().canEncode(text);
    }
}
