package io.github.streaminfer.scorer;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * Steps through the fields of one protobuf message. Every length is checked against what is left, and nothing is
 * interpreted: what a field means is said by whoever reads it.
 */
final class Protobuf {
    private static final int VARINT = 0;
    private static final int FIXED64 = 1;
    private static final int SIZED = 2;
    private static final int FIXED32 = 5;
    private static final int MAX_VARINT_BYTES = 10;

    private final byte[] bytes;
    private final int end;
    private int position;
    private int field;
    private boolean isNumber;
    private long number;
    private int valueStart;

    Protobuf(byte[] bytes) {
        this(bytes, 0, bytes.length);
    }

    private Protobuf(byte[] bytes, int start, int end) {
        this.bytes = bytes;
        this.position = start;
        this.end = end;
    }

    /** Goes to the next field; false at the end. */
    boolean next() throws Damaged {
        if (position == end) {
            return false;
        }
        long key = varint();
        field = (int) (key >>> 3);
        if (field == 0) {
            throw new Damaged("a field of number 0 before byte " + position);
        }
        int wireType = (int) (key & 7);
        isNumber = wireType == VARINT;
        if (isNumber) {
            number = varint();
            return true;
        }
        long length = length(wireType);
        if (length < 0 || length > end - position) {
            throw new Damaged("a field of " + Long.toUnsignedString(length) + " bytes at byte " + position);
        }
        valueStart = position;
        position += (int) length;
        return true;
    }

    /** The number of the field. */
    int field() {
        return field;
    }

    /** The field's value as a message. */
    Protobuf message() throws Damaged {
        requireBytes("a message");
        return new Protobuf(bytes, valueStart, position);
    }

    /** The field's value as text. */
    String text() throws Damaged {
        requireBytes("text");
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes, valueStart, position - valueStart))
                    .toString();
        } catch (CharacterCodingException malformed) {
            throw new Damaged("text that is not UTF-8 at byte " + valueStart);
        }
    }

    /** The field's value as a number. */
    long number() throws Damaged {
        if (!isNumber) {
            throw new Damaged("bytes stand where a number is expected");
        }
        return number;
    }

    private void requireBytes(String expected) throws Damaged {
        if (isNumber) {
            throw new Damaged("a number stands where " + expected + " is expected");
        }
    }

    private long length(int wireType) throws Damaged {
        switch (wireType) {
            case SIZED:
                return varint();
            case FIXED64:
                return Long.BYTES;
            case FIXED32:
                return Integer.BYTES;
            default:
                throw new Damaged("wire type " + wireType + " at byte " + position);
        }
    }

    private long varint() throws Damaged {
        long value = 0;
        for (int index = 0; index < MAX_VARINT_BYTES && position < end; index++) {
            byte group = bytes[position++];
            value |= (long) (group & 0x7F) << (7 * index);
            if (group >= 0) {
                return value;
            }
        }
        throw new Damaged("a number without end at byte " + position);
    }

    /** The bytes are not the message that is expected here. */
    static final class Damaged extends Exception {
        private static final long serialVersionUID = 1L;

        Damaged(String message) {
            super(message);
        }
    }
}
