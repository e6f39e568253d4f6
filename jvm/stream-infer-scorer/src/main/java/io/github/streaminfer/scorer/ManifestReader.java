package io.github.streaminfer.scorer;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.streaminfer.scorer.FeatureSpec.Format;
import io.github.streaminfer.scorer.FeatureSpec.Missing;
import io.github.streaminfer.scorer.Manifest.FileEntry;
import io.github.streaminfer.scorer.Manifest.Golden;
import io.github.streaminfer.scorer.Manifest.Onnx;
import io.github.streaminfer.scorer.Manifest.OutputSpec;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Reads {@code bundle.json}, format 1.x. Unknown keys are ignored, so that a later minor version can add some; an unknown
 * major version is refused before anything else is looked at.
 */
final class ManifestReader {
    private static final ObjectMapper JSON =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final String MAJOR = "1";
    private static final Pattern SOME_TEXT = Pattern.compile("(?s).");
    private static final Pattern MODEL_NAME = Pattern.compile("^[A-Za-z0-9][A-Za-z0-9._-]*$");
    private static final Pattern RUNTIME_VERSION = Pattern.compile("^\\d+\\.\\d+(\\.\\d+)?$");
    private static final Pattern SHA256 = Pattern.compile("^[0-9a-f]{64}$");
    private static final Map<String, CellType> INPUT_TYPES = Map.of(
            "float32", CellType.FLOAT32, "float64", CellType.FLOAT64, "int64", CellType.INT64, "string", CellType.STRING);
    private static final Map<String, CellType> OUTPUT_TYPES =
            Map.of("float32", CellType.FLOAT32, "float64", CellType.FLOAT64);
    private static final Map<String, Missing> MISSING = Map.of("nan", Missing.NAN, "error", Missing.ERROR);
    private static final Map<String, Format> FORMATS = Map.of("array", Format.ARRAY, "csv", Format.CSV);
    private static final Map<String, String> ROLES = Map.of("score", "score", "probabilities", "probabilities");
    private static final Map<String, String> ERROR = Map.of("error", "error");

    private ManifestReader() {}

    /**
     * Reads and checks the manifest of a bundle.
     *
     * @param source the bundle's path, for messages
     * @throws BundleException not JSON, not of this version, or not consistent; every inconsistency is named
     */
    static Manifest read(byte[] data, String source) {
        String place = source + ": " + Manifest.FILE;
        Manifest manifest;
        try {
            JsonPart root = new JsonPart(JSON.readTree(data), "$");
            requireVersion(root, place);
            requireGraph(root, place);
            manifest = manifest(root);
        } catch (JsonPart.Invalid invalid) {
            throw new BundleException(place + " is not valid: " + invalid.getMessage() + "; export the model again");
        } catch (JsonProcessingException invalid) {
            throw new BundleException(
                    place + " is not valid: " + invalid.getOriginalMessage().lines().findFirst().orElse("not JSON")
                            + "; export the model again",
                    invalid);
        } catch (IOException invalid) {
            throw new BundleException(place + " is not valid: it is not UTF-8; export the model again", invalid);
        }
        List<String> problems = ManifestRules.problems(manifest);
        if (!problems.isEmpty()) {
            throw new BundleException(
                    place + " is not consistent: " + String.join("; ", problems) + "; export the model again");
        }
        return manifest;
    }

    private static void requireVersion(JsonPart root, String place) {
        String version = root.get("format_version").text();
        if (!version.split("\\.", -1)[0].equals(MAJOR)) {
            throw new BundleException(place + " has format version '" + version + "'; this release reads 1.x: use a "
                    + "release of stream-infer-scorer that reads it, or export the model again");
        }
    }

    /** A bundle may hold what a plug-in runs instead of a graph. */
    private static void requireGraph(JsonPart root, String place) {
        JsonPart plugin = root.find("runtime");
        if (plugin != null && !plugin.isNull()) {
            throw new BundleException(place + " has no graph: its model is run by the plug-in "
                    + plugin.get("name").text() + ", in Python only; export it as a graph");
        }
    }

    private static Manifest manifest(JsonPart root) {
        JsonPart model = root.get("model");
        JsonPart score = root.get("score");
        JsonPart column = score.find("column");
        JsonPart classes = root.find("classes");
        JsonPart decision = root.get("decision");
        JsonPart decimals = decision.find("round_decimals");
        return new Manifest(
                model.get("name").textLike(MODEL_NAME),
                model.get("version").textLike(SOME_TEXT),
                onnx(root.get("onnx")),
                root.get("inputs").listOfSome(ManifestReader::input),
                root.get("outputs").listOfSome(ManifestReader::output),
                score.get("output").text(),
                column == null || column.isNull() ? -1 : (int) column.whole(0, Integer.MAX_VALUE),
                classes == null ? List.of() : classes.list(ManifestReader::classLabel),
                decision.get("threshold").number(),
                decimals == null ? 6 : (int) decimals.whole(0, 15),
                golden(root.get("golden")),
                root.get("files").map(ManifestReader::file));
    }

    private static Onnx onnx(JsonPart onnx) {
        JsonPart contribOps = onnx.find("contrib_ops");
        return new Onnx(
                onnx.get("file").text(),
                onnx.get("opset").map(version -> version.whole(Long.MIN_VALUE, Long.MAX_VALUE)),
                onnx.get("ir").whole(Long.MIN_VALUE, Long.MAX_VALUE),
                onnx.get("min_onnxruntime").textLike(RUNTIME_VERSION),
                onnx.get("ops").list(JsonPart::text),
                contribOps != null && contribOps.truth());
    }

    private static InputSpec input(JsonPart input) {
        return new InputSpec(
                input.get("name").text(),
                input.get("dtype").oneOf(INPUT_TYPES),
                shape(input.get("shape")),
                input.get("features").list(ManifestReader::feature));
    }

    private static OutputSpec output(JsonPart output) {
        output.get("role").oneOf(ROLES);
        return new OutputSpec(
                output.get("name").text(), output.get("dtype").oneOf(OUTPUT_TYPES), shape(output.get("shape")));
    }

    private static List<Long> shape(JsonPart shape) {
        return shape.list(size -> size.whole(Integer.MIN_VALUE, Integer.MAX_VALUE));
    }

    private static FeatureSpec feature(JsonPart feature) {
        JsonPart missing = feature.get("missing");
        JsonPart offset = feature.find("offset");
        JsonPart scale = feature.find("scale");
        JsonPart categories = feature.find("categories");
        JsonPart unseen = feature.find("unseen");
        JsonPart length = feature.find("length");
        JsonPart format = feature.find("format");
        return new FeatureSpec(
                feature.get("name").textLike(SOME_TEXT),
                feature.get("path").textLike(SOME_TEXT),
                missing.isObject() ? Missing.VALUE : missing.oneOf(MISSING),
                missing.isObject() ? missing.get("value").textOrNumber() : null,
                offset == null ? 0 : offset.number(),
                scale == null ? 1 : scale.number(),
                categories == null || categories.isNull() ? null : categories.list(JsonPart::text),
                unseen(unseen),
                length == null ? 1 : (int) length.whole(1, Integer.MAX_VALUE),
                format == null || format.isNull() ? Format.ONE_CELL : format.oneOf(FORMATS));
    }

    private static Long unseen(JsonPart unseen) {
        if (unseen == null) {
            return -1L;
        }
        if (unseen.isText()) {
            unseen.oneOf(ERROR);
            return null;
        }
        return unseen.whole(Long.MIN_VALUE, Long.MAX_VALUE);
    }

    /** A class as text; in {@code bundle.json} it may be an integer. */
    private static String classLabel(JsonPart label) {
        return label.isText() ? label.text() : Long.toString(label.whole(Long.MIN_VALUE, Long.MAX_VALUE));
    }

    private static Golden golden(JsonPart golden) {
        JsonPart rtol = golden.find("rtol");
        JsonPart atol = golden.find("atol");
        golden.get("onnxruntime").text();
        return new Golden(
                (int) golden.get("rows").whole(1, 100_000),
                rtol == null ? 1e-5 : rtol.numberWithin(0, 1),
                atol == null ? 1e-6 : atol.numberWithin(0, 1));
    }

    private static FileEntry file(JsonPart file) {
        return new FileEntry(file.get("sha256").textLike(SHA256), file.get("size").whole(0, Long.MAX_VALUE));
    }
}
