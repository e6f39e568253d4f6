package io.github.streaminfer.pipeline;

/** A header of a record. Immutable, as long as nobody writes into the bytes. */
public final class Header {
    private final String name;
    private final byte[] value;

    /**
     * A header.
     *
     * @param name may stand more than once in a record
     * @param value its bytes, or null
     */
    public Header(String name, byte[] value) {
        this.name = name;
        this.value = value;
    }

    /**
     * The name.
     *
     * @return never null
     */
    public String name() {
        return name;
    }

    /**
     * The bytes.
     *
     * @return not a copy; may be null
     */
    public byte[] value() {
        return value;
    }
}
