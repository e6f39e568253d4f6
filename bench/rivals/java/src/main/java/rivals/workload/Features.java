package rivals.workload;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The cells of the model's row, in their order.
 *
 * @param list the features; a feature's place is that of its cell
 */
record Features(List<Feature> list) {

    /**
     * Reads {@code features.json}, a list of {@code {"name", "path"}}, and {@code categories.json}, which lists the texts
     * of those features that are categories.
     *
     * @throws UncheckedIOException a file is missing or is not of this form
     */
    static Features load(File assets) {
        ObjectMapper json = new ObjectMapper();
        try {
            List<Map<String, Object>> listed =
                    json.readValue(new File(assets, "features.json"), new TypeReference<>() {});
            Map<String, List<String>> texts =
                    json.readValue(new File(assets, "categories.json"), new TypeReference<>() {});
            return new Features(listed.stream().map(told -> feature(told, texts)).toList());
        } catch (IOException failure) {
            throw new UncheckedIOException("The features in " + assets + " could not be read", failure);
        }
    }

    int size() {
        return list.size();
    }

    /** The feature's cell by its path, names joined by dots. */
    Map<String, Integer> slots() {
        Map<String, Integer> slots = new HashMap<>();
        for (int slot = 0; slot < list.size(); slot++) {
            slots.put(String.join(".", list.get(slot).path()), slot);
        }
        return slots;
    }

    private static Feature feature(Map<String, Object> told, Map<String, List<String>> texts) {
        List<String> path = List.of(told.get("path").toString().split("\\."));
        return new Feature(path, numbered(texts.getOrDefault(told.get("name").toString(), List.of())));
    }

    private static Map<String, Integer> numbered(List<String> texts) {
        Map<String, Integer> codes = new HashMap<>();
        for (String text : texts) {
            codes.put(text, codes.size());
        }
        return codes;
    }
}
