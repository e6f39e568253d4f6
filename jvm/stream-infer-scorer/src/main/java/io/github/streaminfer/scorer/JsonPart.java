package io.github.streaminfer.scorer;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Pattern;

/** One value of {@code bundle.json} and where it stands. Each reader takes one type and refuses the others by name. */
final class JsonPart {
    private final JsonNode node;
    private final String place;

    JsonPart(JsonNode node, String place) {
        this.node = node;
        this.place = place;
    }

    /** A required member of an object. */
    JsonPart get(String key) {
        JsonPart found = find(key);
        if (found == null) {
            throw new Invalid("the key " + key + " is missing at " + place);
        }
        return found;
    }

    /** A member of an object, or null. */
    JsonPart find(String key) {
        require(node.isObject(), "an object");
        JsonNode found = node.get(key);
        return found == null ? null : new JsonPart(found, place + "." + key);
    }

    boolean isText() {
        return node.isTextual();
    }

    boolean isNull() {
        return node.isNull();
    }

    boolean isObject() {
        return node.isObject();
    }

    boolean truth() {
        require(node.isBoolean(), "true or false");
        return node.booleanValue();
    }

    String text() {
        require(node.isTextual(), "text");
        return node.textValue();
    }

    String textLike(Pattern pattern) {
        String text = text();
        require(pattern.matcher(text).find(), "text like " + pattern.pattern());
        return text;
    }

    <T> T oneOf(Map<String, T> words) {
        T found = words.get(text());
        require(found != null, "one of " + String.join(", ", words.keySet()));
        return found;
    }

    double number() {
        require(node.isNumber(), "a number");
        return node.doubleValue();
    }

    double numberWithin(double least, double most) {
        double number = number();
        require(number >= least && number <= most, "a number from " + least + " to " + most);
        return number;
    }

    long whole(long least, long most) {
        require(node.isIntegralNumber() && node.canConvertToLong(), "an integer");
        long number = node.longValue();
        require(number >= least && number <= most, "an integer from " + least + " to " + most);
        return number;
    }

    /** Text, a Double, or a BigInteger. */
    Object textOrNumber() {
        require(node.isTextual() || node.isNumber(), "text or a number");
        if (node.isTextual()) {
            return node.textValue();
        }
        return node.isIntegralNumber() ? node.bigIntegerValue() : (Object) node.doubleValue();
    }

    <T> List<T> list(Function<JsonPart, T> item) {
        require(node.isArray(), "an array");
        List<T> items = new ArrayList<>(node.size());
        for (int index = 0; index < node.size(); index++) {
            items.add(item.apply(new JsonPart(node.get(index), place + "[" + index + "]")));
        }
        return List.copyOf(items);
    }

    <T> List<T> listOfSome(Function<JsonPart, T> item) {
        List<T> items = list(item);
        require(!items.isEmpty(), "an array of one or more");
        return items;
    }

    <T> Map<String, T> map(Function<JsonPart, T> value) {
        require(node.isObject(), "an object");
        Map<String, T> values = new LinkedHashMap<>();
        for (Iterator<String> names = node.fieldNames(); names.hasNext(); ) {
            String name = names.next();
            values.put(name, value.apply(new JsonPart(node.get(name), place + "." + name)));
        }
        return Map.copyOf(values);
    }

    private void require(boolean holds, String expected) {
        if (!holds) {
            throw new Invalid("expected " + expected + " at " + place);
        }
    }

    /** The document is not what the format says; the message says where. */
    static final class Invalid extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Invalid(String message) {
            super(message);
        }
    }
}
