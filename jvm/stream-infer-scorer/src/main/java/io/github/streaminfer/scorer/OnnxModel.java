package io.github.streaminfer.scorer;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A model in ONNX Runtime, set up so that a score never depends on the company a row is in: one thread inside a call,
 * never a call of one row (linear models take another kernel for it), and only the score's output is asked for. May be
 * called by many threads at once; {@link #close} only when no call is running.
 */
final class OnnxModel implements AutoCloseable {
    private static final String TELEMETRY = "ORT_DISABLE_TELEMETRY";
    private static final int MIN_ROWS = 2;

    private final OrtEnvironment environment;
    private final OrtSession session;
    private final OrtSession.RunOptions options;
    private final Manifest.OutputSpec output;
    private final int fixedRows;

    private OnnxModel(
            OrtEnvironment environment,
            OrtSession session,
            OrtSession.RunOptions options,
            Manifest.OutputSpec output,
            int fixedRows) {
        this.environment = environment;
        this.session = session;
        this.options = options;
        this.output = output;
        this.fixedRows = fixedRows;
    }

    /**
     * Opens the model of a bundle.
     *
     * @throws BundleException ONNX Runtime cannot be used here, is too old, or refuses the graph, or the graph is not what
     *     the manifest says
     */
    static OnnxModel open(Bundle bundle) {
        OrtEnvironment environment = environment();
        requireVersion(environment.getVersion(), bundle.manifest.onnx.minRuntime);
        OrtSession session;
        try (OrtSession.SessionOptions settings = new OrtSession.SessionOptions()) {
            settings.setIntraOpNumThreads(1);
            settings.setInterOpNumThreads(1);
            settings.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL);
            settings.addConfigEntry("session.intra_op.allow_spinning", "0");
            settings.addConfigEntry("session.inter_op.allow_spinning", "0");
            // The arena keeps the memory of the largest batch for ever.
            settings.setCPUArenaAllocator(false);
            // The runtime's own error lines on stderr quote values of events.
            settings.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
            session = bundle.modelPath == null
                    ? environment.createSession(bundle.files.get(bundle.manifest.onnx.file), settings)
                    : environment.createSession(bundle.modelPath.toString(), settings);
        } catch (OrtException refusal) {
            throw new BundleException(
                    "ONNX Runtime " + environment.getVersion() + " refuses the graph: " + firstLine(refusal), refusal);
        }
        try {
            int fixedRows = Signature.check(session.getInputInfo(), session.getOutputInfo(), bundle.manifest);
            OrtSession.RunOptions options = new OrtSession.RunOptions();
            options.setLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
            return new OnnxModel(environment, session, options, bundle.manifest.scoreOutput(), fixedRows);
        } catch (OrtException | RuntimeException failure) {
            closeQuietly(session);
            if (failure instanceof BundleException) {
                throw (BundleException) failure;
            }
            throw new BundleException("ONNX Runtime cannot tell the graph's inputs: " + firstLine(failure), failure);
        }
    }

    /** Most rows that a short call is padded to. */
    int callRows() {
        return Math.max(fixedRows, MIN_ROWS);
    }

    /**
     * Scores rows.
     *
     * @return the output, row-major, {@code rows} times its columns
     * @throws ModelFailure the runtime failed on these rows
     * @throws BundleException the answer has not one row for each of them
     */
    float[] run(Cells cells, int start, int rows) throws ModelFailure {
        int step = fixedRows == 0 ? rows : fixedRows;
        if (rows <= step) {
            return runPart(cells, start, rows);
        }
        float[] joined = new float[rows * output.columns()];
        for (int done = 0; done < rows; done += step) {
            float[] part = runPart(cells, start + done, Math.min(step, rows - done));
            System.arraycopy(part, 0, joined, done * output.columns(), part.length);
        }
        return joined;
    }

    private float[] runPart(Cells cells, int start, int rows) throws ModelFailure {
        int callRows = fixedRows == 0 ? Math.max(rows, MIN_ROWS) : fixedRows;
        try {
            Map<String, OnnxTensor> tensors = cells.tensors(environment, start, rows, callRows);
            try (OrtSession.Result result = session.run(tensors, Set.of(output.name), options)) {
                return copied((OnnxTensor) result.get(0), callRows, rows);
            } finally {
                Cells.close(tensors);
            }
        } catch (OrtException failure) {
            // The runtime's own words quote values of the event, so only their kind goes on.
            throw new ModelFailure("the model failed with " + failure.getCode(), failure);
        }
    }

    private float[] copied(OnnxTensor tensor, int callRows, int rows) {
        long[] shape = tensor.getInfo().getShape();
        List<Long> expected = new ArrayList<>(output.shape);
        expected.set(0, (long) callRows);
        if (!Arrays.equals(shape, expected.stream().mapToLong(Long::longValue).toArray())) {
            throw new BundleException("output '" + output.name + "' has shape " + Arrays.toString(shape) + " for "
                    + callRows + " rows; expected is one row per input row, " + expected
                    + ": export the graph without a reduction over the batch");
        }
        float[] numbers = new float[rows * output.columns()];
        if (output.type == CellType.FLOAT32) {
            tensor.getFloatBuffer().get(numbers);
            return numbers;
        }
        double[] doubles = new double[numbers.length];
        tensor.getDoubleBuffer().get(doubles);
        for (int index = 0; index < doubles.length; index++) {
            numbers[index] = (float) doubles[index];
        }
        return numbers;
    }

    @Override
    public void close() {
        options.close();
        closeQuietly(session);
    }

    private static void closeQuietly(OrtSession session) {
        try {
            session.close();
        } catch (OrtException failure) {
            throw new IllegalStateException("ONNX Runtime could not free the model", failure);
        }
    }

    private static OrtEnvironment environment() {
        if (System.getenv(TELEMETRY) == null) {
            throw new BundleException("the environment variable " + TELEMETRY + " is not set, without which ONNX Runtime "
                    + "reports to its maker and on some machines crashes the JVM: start the process with " + TELEMETRY
                    + "=1");
        }
        try {
            return OrtEnvironment.getEnvironment();
        } catch (LinkageError | RuntimeException failure) {
            throw new BundleException(
                    "ONNX Runtime cannot be loaded (" + firstLine(failure) + "): it needs glibc, its jar in one class "
                            + "loader only, and a java.io.tmpdir that may hold programs",
                    failure);
        }
    }

    private static void requireVersion(String found, String needed) {
        if (Arrays.compare(version(found), version(needed)) < 0) {
            throw new BundleException("it needs ONNX Runtime " + needed + " or newer, this is " + found
                    + ": raise the version of com.microsoft.onnxruntime:onnxruntime, or export the model for an older "
                    + "operator set");
        }
    }

    private static int[] version(String text) {
        int[] numbers = new int[3];
        Matcher matcher = Pattern.compile("\\d+").matcher(text);
        for (int index = 0; index < numbers.length && matcher.find(); index++) {
            numbers[index] = Integer.parseInt(matcher.group());
        }
        return numbers;
    }

    private static String firstLine(Throwable failure) {
        String text = String.valueOf(failure.getMessage());
        return text.lines().findFirst().orElse(failure.getClass().getSimpleName());
    }
}
