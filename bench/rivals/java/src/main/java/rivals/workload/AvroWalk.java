package rivals.workload;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.apache.avro.Schema;
import rivals.workload.AvroCompiler.Step;

/**
 * Avro events by one walk over their bytes: what the model reads goes to its row, all else is stepped over.
 *
 * <p>What is kept of an event is already its output, with the encoded id copied and room for score and flag.
 */
final class AvroWalk implements Workload<byte[]> {
    private static final VarHandle FLOAT =
            MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle DOUBLE =
            MethodHandles.byteArrayViewVarHandle(double[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int SCORE_AND_FLAG_BYTES = Float.BYTES + 1;

    private final Step[] steps;
    private final int width;
    private byte[] bytes;
    private int at;
    private byte[] output;

    AvroWalk(Schema schema, String idField, Features features) {
        steps = AvroCompiler.compile(schema, idField, features);
        width = features.size();
    }

    @Override
    public int width() {
        return width;
    }

    @Override
    public byte[] decode(byte[] value, FloatBuffer rows, int first) {
        AvroFrame.check(value);
        bytes = value;
        at = AvroFrame.BYTES;
        for (int slot = 0; slot < width; slot++) {
            rows.put(first + slot, Feature.MISSING);
        }
        for (int next = 0; next < steps.length; next++) {
            Step step = steps[next];
            if (step.op() == AvroCompiler.Op.NULLABLE) {
                next += readLong() == step.nullBranch() ? step.jump() : 0;
            } else {
                float cell = read(step);
                if (step.slot() >= 0) {
                    rows.put(first + step.slot(), cell);
                }
            }
        }
        if (at != value.length) {
            throw new IllegalArgumentException("An event is not as long as its schema tells");
        }
        return output;
    }

    @Override
    public byte[] encode(byte[] output, float score) {
        FLOAT.set(output, output.length - SCORE_AND_FLAG_BYTES, score);
        output[output.length - 1] = (byte) (score >= THRESHOLD ? 1 : 0);
        return output;
    }

    private float read(Step step) {
        return switch (step.op()) {
            case LONG -> readLong();
            case FLOAT -> (float) FLOAT.get(bytes, advance(Float.BYTES));
            case DOUBLE -> (float) (double) DOUBLE.get(bytes, advance(Double.BYTES));
            case BOOLEAN -> bytes[advance(1)];
            case ENUM -> step.codes()[(int) readLong()];
            case TEXT -> readText(step);
            case ID -> readId();
            case NULLABLE -> throw new IllegalStateException("a branch is no cell");
        };
    }

    private float readText(Step step) {
        int length = (int) readLong();
        int from = advance(length);
        return step.texts() == null ? Feature.MISSING : step.texts().code(bytes, from, at);
    }

    /** Begins the output: the id is encoded there as it is here. */
    private float readId() {
        int from = at;
        int length = (int) readLong();
        advance(length);
        output = AvroFrame.newOutput(AvroFrame.BYTES + at - from + SCORE_AND_FLAG_BYTES);
        System.arraycopy(bytes, from, output, AvroFrame.BYTES, at - from);
        return Feature.MISSING;
    }

    private int advance(int count) {
        int from = at;
        at = from + count;
        return from;
    }

    private long readLong() {
        int shift = 0;
        long zigzag = 0;
        byte read;
        do {
            read = bytes[at++];
            zigzag |= (long) (read & 0x7f) << shift;
            shift += 7;
        } while (read < 0);
        return zigzag >>> 1 ^ -(zigzag & 1);
    }
}
