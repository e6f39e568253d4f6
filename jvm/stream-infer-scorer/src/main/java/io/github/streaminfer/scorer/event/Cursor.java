package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.Status;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.avro.util.Utf8;

/** A place in the bytes of an event, and the primitives of Avro from there on. */
final class Cursor {
    /** A 64-bit number takes at most ten groups of seven bits. */
    private static final int MAX_VARINT_BYTES = 10;

    private final byte[] bytes;
    private int position;

    Cursor(byte[] bytes, int start) {
        this.bytes = bytes;
        this.position = start;
    }

    int position() {
        return position;
    }

    int remaining() {
        return bytes.length - position;
    }

    boolean readBoolean() throws BadBytes {
        byte value = next();
        if (value != 0 && value != 1) {
            throw new BadBytes(Status.MALFORMED, "a boolean is neither 0 nor 1");
        }
        return value == 1;
    }

    int readInt() throws BadBytes {
        long value = readLong();
        if (value != (int) value) {
            throw new BadBytes(Status.MALFORMED, "an int is longer than 32 bits");
        }
        return (int) value;
    }

    /** A zigzag varint of 64 bits. */
    long readLong() throws BadBytes {
        long value = 0;
        for (int index = 0; index < MAX_VARINT_BYTES; index++) {
            byte group = next();
            if (index == MAX_VARINT_BYTES - 1 && (group & 0xFF) > 1) {
                break;
            }
            value |= (long) (group & 0x7F) << (7 * index);
            if (group >= 0) {
                return (value >>> 1) ^ -(value & 1);
            }
        }
        throw new BadBytes(Status.MALFORMED, "a varint is longer than 64 bits");
    }

    float readFloat() throws BadBytes {
        return Float.intBitsToFloat((int) littleEndian(Float.BYTES));
    }

    double readDouble() throws BadBytes {
        return Double.longBitsToDouble(littleEndian(Double.BYTES));
    }

    /** Bytes behind their length. */
    byte[] readBytes() throws BadBytes {
        long length = readLong();
        if (length < 0) {
            throw new BadBytes(Status.MALFORMED, "a length is negative");
        }
        if (length > remaining()) {
            throw BadBytes.truncated();
        }
        return readFixed((int) length);
    }

    byte[] readFixed(int size) throws BadBytes {
        if (size > remaining()) {
            throw BadBytes.truncated();
        }
        position += size;
        return Arrays.copyOfRange(bytes, position - size, position);
    }

    Utf8 readText() throws BadBytes {
        byte[] text = readBytes();
        if (!isAscii(text)) {
            try {
                StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(text));
            } catch (CharacterCodingException malformed) {
                throw new BadBytes(Status.INVALID_UTF8, "text is not UTF-8");
            }
        }
        return new Utf8(text);
    }

    /** The index of an enum's symbol or a union's branch. */
    int readIndex(int count, String what) throws BadBytes {
        long index = readLong();
        if (index < 0 || index >= count) {
            throw new BadBytes(Status.MALFORMED, what + " index is out of range");
        }
        return (int) index;
    }

    private static boolean isAscii(byte[] text) {
        for (byte letter : text) {
            if (letter < 0) {
                return false;
            }
        }
        return true;
    }

    private byte next() throws BadBytes {
        if (position >= bytes.length) {
            throw BadBytes.truncated();
        }
        return bytes[position++];
    }

    private long littleEndian(int size) throws BadBytes {
        if (size > remaining()) {
            throw BadBytes.truncated();
        }
        long value = 0;
        for (int index = 0; index < size; index++) {
            value |= (bytes[position++] & 0xFFL) << (8 * index);
        }
        return value;
    }
}
