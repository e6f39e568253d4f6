package io.github.streaminfer.scorer;

import io.github.streaminfer.scorer.FeatureSpec.Format;
import io.github.streaminfer.scorer.FeatureSpec.Missing;
import io.github.streaminfer.scorer.Manifest.OutputSpec;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Everything about a manifest that its types alone don't rule out. */
final class ManifestRules {
    private static final Pattern NOT_IN_A_PATH = Pattern.compile("[\\\\:\\x00-\\x1f]");
    private static final Set<String> NOT_NAMES = Set.of("", ".", "..");

    private final List<String> problems = new ArrayList<>();

    private ManifestRules() {}

    /** What is wrong, one sentence each. */
    static List<String> problems(Manifest manifest) {
        ManifestRules rules = new ManifestRules();
        rules.files(manifest);
        rules.duplicates("input", names(manifest.inputs.stream().map(input -> input.name)));
        rules.duplicates("output", names(manifest.outputs.stream().map(output -> output.name)));
        manifest.inputs.forEach(rules::input);
        rules.score(manifest);
        return rules.problems;
    }

    /** True for a relative path of plain names joined by {@code /}: nothing absolute, no drive, no {@code ..}. */
    static boolean isSafePath(String path) {
        if (NOT_IN_A_PATH.matcher(path).find()) {
            return false;
        }
        for (String part : path.split("/", -1)) {
            if (NOT_NAMES.contains(part)) {
                return false;
            }
        }
        return true;
    }

    private void files(Manifest manifest) {
        for (String path : manifest.files.keySet()) {
            require(isSafePath(path), "file '" + path + "' leaves the bundle");
        }
        for (String path : List.of(
                manifest.onnx.file, Manifest.INPUT_SCHEMA, Manifest.GOLDEN_EVENTS, Manifest.GOLDEN_ANSWERS)) {
            require(manifest.files.containsKey(path), "'" + path + "' is not listed under files");
        }
    }

    private void input(InputSpec input) {
        String what = "input '" + input.name + "'";
        List<Long> cells = input.shape.isEmpty() ? input.shape : input.shape.subList(1, input.shape.size());
        long width = cells.stream().mapToLong(Long::longValue).reduce(1, (product, size) -> product * size);
        if (input.shape.isEmpty() || input.shape.get(0) != -1 || cells.stream().anyMatch(size -> size < 1)) {
            problems.add(what + " has shape " + input.shape + "; the first dimension is -1, the others are positive");
        } else {
            require(width == input.width, what + " has " + width + " cells but its features fill " + input.width);
        }
        duplicates(what + ": feature", names(input.features.stream().map(feature -> feature.name)));
        for (FeatureSpec feature : input.features) {
            feature(feature, input.type, "feature '" + feature.name + "' of " + what);
        }
    }

    private void feature(FeatureSpec feature, CellType type, String what) {
        require(
                feature.missing != Missing.NAN || type.isFloat(),
                what + " has missing = \"nan\", which " + type.label() + " cannot hold; use \"error\" or a value");
        require(
                feature.missing != Missing.VALUE || fits(feature.missingValue, type),
                what + " has a missing value of another type than " + type.label());
        require(
                (feature.length > 1) == (feature.format != Format.ONE_CELL),
                what + " needs both a length above 1 and a format (\"array\" or \"csv\"), or neither");
        require(
                Double.isFinite(feature.offset) && Double.isFinite(feature.scale),
                what + " has an offset or scale that is not finite");
        boolean isPlain = feature.categories == null && feature.offset == 0 && feature.scale == 1;
        require(
                type != CellType.STRING || isPlain,
                what + " is text: categories, offset and scale have no meaning for it");
        if (feature.categories != null) {
            require(
                    feature.offset == 0 && feature.scale == 1,
                    what + " has categories, which go without offset and scale");
            require(!feature.categories.isEmpty(), what + " has an empty list of categories");
            duplicates(what + " repeats: category", feature.categories);
            require(feature.length == 1, what + " has categories and a length above 1");
        }
    }

    private static boolean fits(Object value, CellType type) {
        if (type == CellType.STRING || value instanceof String) {
            return type == CellType.STRING && value instanceof String;
        }
        if (value instanceof BigInteger) {
            return type != CellType.INT64 || ((BigInteger) value).bitLength() < Long.SIZE;
        }
        double number = (Double) value;
        return type != CellType.INT64 || (number == Math.rint(number) && Math.abs(number) < 0x1p63);
    }

    private void score(Manifest manifest) {
        require(Double.isFinite(manifest.threshold), "the threshold is not finite");
        for (OutputSpec output : manifest.outputs) {
            List<Long> shape = output.shape;
            if (shape.isEmpty() || shape.size() > 2 || shape.get(0) != -1 || (shape.size() == 2 && shape.get(1) < 1)) {
                problems.add("output '" + output.name + "' has shape " + shape + "; supported are [-1] and [-1, k]");
                return;
            }
        }
        OutputSpec output = manifest.outputs.stream()
                .filter(candidate -> candidate.name.equals(manifest.scoreOutput))
                .findFirst()
                .orElse(null);
        if (output == null) {
            problems.add("the score names output '" + manifest.scoreOutput + "', which is not listed");
            return;
        }
        boolean hasColumns = output.shape.size() == 2;
        require(
                hasColumns ? manifest.scoreColumn >= 0 && manifest.scoreColumn < output.columns() : manifest.scoreColumn < 0,
                "score column " + manifest.scoreColumn + " does not exist in output '" + output.name + "' of shape "
                        + output.shape);
        require(
                !manifest.isMultiClass() || (hasColumns && manifest.classes.size() == output.columns()),
                manifest.classes.size() + " classes are listed but output '" + output.name + "' has "
                        + output.columns() + " columns");
    }

    private void duplicates(String what, List<String> names) {
        Set<String> seen = new HashSet<>();
        for (String name : names) {
            if (!seen.add(name)) {
                problems.add(what + " '" + name + "' is listed more than once");
                return;
            }
        }
    }

    private static List<String> names(Stream<String> names) {
        return names.collect(Collectors.toList());
    }

    private void require(boolean holds, String problem) {
        if (!holds) {
            problems.add(problem);
        }
    }
}
