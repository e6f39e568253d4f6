package rivals.scoring;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;

/**
 * An ONNX model with one float32 input, whose score is column 1 of its output {@code probabilities}.
 *
 * <p>Rows are written to, and scores read from, memory that onnxruntime works on itself: nothing is copied, and a call
 * with all rows makes no object but its result. Not thread-safe.
 */
public final class Model implements AutoCloseable {
    private static final String OUTPUT = "probabilities";
    private static final int SCORE_COLUMN = 1;
    private static final OrtEnvironment ENVIRONMENT = OrtEnvironment.getEnvironment();

    private final OrtSession session;
    private final String input;
    private final long[] inputShape;
    private final int width;
    private final int capacity;
    private final FloatBuffer rows;
    private final int classes;
    private final FloatBuffer probabilities;
    private final Call full;

    /**
     * Loads a model.
     *
     * @param capacity most rows of a call
     * @throws IllegalStateException the file is not such a model
     */
    public Model(File onnx, int capacity) {
        this.capacity = capacity;
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            // One thread: a second one costs more CPU than it saves, and spins while it waits.
            options.setIntraOpNumThreads(1);
            options.setInterOpNumThreads(1);
            session = ENVIRONMENT.createSession(onnx.getPath(), options);
            input = session.getInputNames().iterator().next();
            inputShape = ((TensorInfo) session.getInputInfo().get(input).getInfo()).getShape();
            width = (int) Arrays.stream(inputShape).skip(1).reduce(1, (a, b) -> a * b);
            rows = floats(capacity * width);
            classes = probeClasses();
            probabilities = floats(capacity * classes);
            full = new Call(capacity);
        } catch (OrtException failure) {
            throw new IllegalStateException(onnx + " could not be loaded", failure);
        }
    }

    /** Cells of a row. */
    public int width() {
        return width;
    }

    /** Most rows of a call. */
    public int capacity() {
        return capacity;
    }

    /** The input, row by row; written by absolute position. */
    public FloatBuffer rows() {
        return rows;
    }

    /**
     * Scores the first {@code count} rows.
     *
     * @throws IllegalStateException onnxruntime refused them
     */
    public void run(int count) {
        try {
            if (count == capacity) {
                full.run();
            } else {
                try (Call call = new Call(count)) {
                    call.run();
                }
            }
        } catch (OrtException failure) {
            throw new IllegalStateException("onnxruntime could not score " + count + " rows", failure);
        }
    }

    /** The score of a row of the last {@link #run}. */
    public float score(int row) {
        return probabilities.get(row * classes + SCORE_COLUMN);
    }

    @Override
    public void close() {
        try {
            full.close();
            session.close();
        } catch (OrtException failure) {
            throw new IllegalStateException("onnxruntime could not be closed", failure);
        }
    }

    /** Columns of the output: some exporters leave them out of its declared shape. */
    private int probeClasses() throws OrtException {
        try (OnnxTensor row = tensor(rows, 1, width, shape(1));
                OrtSession.Result result = session.run(Map.of(input, row), Set.of(OUTPUT))) {
            return (int) ((OnnxTensor) result.get(0)).getInfo().getShape()[1];
        }
    }

    private long[] shape(int count) {
        long[] shape = inputShape.clone();
        shape[0] = count;
        return shape;
    }

    private static OnnxTensor tensor(FloatBuffer cells, int count, int width, long[] shape) throws OrtException {
        return OnnxTensor.createTensor(ENVIRONMENT, cells.slice(0, count * width), shape);
    }

    private static FloatBuffer floats(int count) {
        return ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    /** The tensors of a call with a fixed number of rows. */
    private final class Call implements AutoCloseable {
        private final OnnxTensor in;
        private final OnnxTensor out;
        private final Map<String, OnnxTensor> inputs;
        private final Map<String, OnnxTensor> outputs;

        Call(int count) throws OrtException {
            in = tensor(rows, count, width, shape(count));
            out = tensor(probabilities, count, classes, new long[] {count, classes});
            inputs = Map.of(input, in);
            outputs = Map.of(OUTPUT, out);
        }

        void run() throws OrtException {
            session.run(inputs, Set.of(), outputs).close();
        }

        @Override
        public void close() {
            in.close();
            out.close();
        }
    }
}
