package rivals.workload;

/** The five bytes before an Avro value: a zero, then the id of its schema, as Confluent's serializers write them. */
final class AvroFrame {
    static final int BYTES = 5;
    private static final int INPUT_ID = 1;
    private static final int OUTPUT_ID = 2;

    private AvroFrame() {}

    /**
     * Makes sure that a value has the frame of an input.
     *
     * @throws IllegalArgumentException it has another one, or none
     */
    static void check(byte[] value) {
        if (value.length < BYTES || value[0] != 0 || value[1] != 0 || value[2] != 0 || value[3] != 0
                || value[4] != INPUT_ID) {
            throw new IllegalArgumentException("An event does not begin with the frame of schema " + INPUT_ID);
        }
    }

    /** A new output of {@code bytes} bytes with the frame of an output. */
    static byte[] newOutput(int bytes) {
        byte[] output = new byte[bytes];
        output[BYTES - 1] = OUTPUT_ID;
        return output;
    }
}
