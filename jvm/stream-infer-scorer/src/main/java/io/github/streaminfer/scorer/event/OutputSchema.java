package io.github.streaminfer.scorer.event;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.NameValidator;
import org.apache.avro.Schema;

/**
 * Derives the schema of a scored event: a fixed part, then the fields that are carried over from the input with their
 * types and defaults. The same schema as stream_infer derives in Python, so that both register one.
 */
final class OutputSchema {
    static final String NAME = "stream_infer.ScoredEvent";
    private static final String STATUS_NAME = "stream_infer.ScoredStatus";

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Set<String> KEPT = Set.of("size", "symbols", "precision", "scale", "logicalType");

    private static final String MILLIS = "{'type': 'long', 'logicalType': 'timestamp-millis'}";
    private static final String FIXED_FIELDS = String.join(
            ",",
            "{'name': 'score', 'type': ['null', 'float'], 'default': null,"
                    + " 'doc': 'The model\\u0027s score; null for an event that was shed.'}",
            "{'name': 'flagged', 'type': 'boolean', 'doc': 'True where the score reaches the threshold.'}",
            "{'name': 'status', 'type': {'type': 'enum', 'name': '" + STATUS_NAME + "', 'symbols': ['scored', 'shed']},"
                    + " 'doc': 'scored, or shed: passed on unscored because it was too old under overload.'}",
            "{'name': 'threshold', 'type': 'double', 'doc': 'The threshold in force.'}",
            "{'name': 'model_name', 'type': 'string'}",
            "{'name': 'model_version', 'type': 'string'}",
            "{'name': 'model_digest', 'type': 'string',"
                    + " 'doc': 'SHA-256 of the bundle\\u0027s bundle.json, in hexadecimal.'}",
            "{'name': 'input_topic', 'type': 'string', 'doc': 'Topic, partition and offset tell a repeat.'}",
            "{'name': 'input_partition', 'type': 'int'}",
            "{'name': 'input_offset', 'type': 'long'}",
            "{'name': 'event_timestamp', 'type': ['null', " + MILLIS + "], 'default': null,"
                    + " 'doc': 'The input record\\u0027s own timestamp.'}",
            "{'name': 'scored_at', 'type': " + MILLIS + "}");
    private static final String CLASS_FIELDS = String.join(
            ",",
            "{'name': 'predicted_class', 'type': ['null', 'string'], 'default': null,"
                    + " 'doc': 'The most probable class.'}",
            "{'name': 'probabilities', 'type': ['null', {'type': 'array', 'items': 'float'}], 'default': null,"
                    + " 'doc': 'Of each class, in the order of the bundle\\u0027s classes.'}");

    /** Definitions of the input schema's named types by full name, each with the namespace it stands in. */
    private final Map<String, JsonNode> definitions = new HashMap<>();

    private final Map<String, String> namespaces = new HashMap<>();
    private final Set<String> spelt = new HashSet<>();

    private OutputSchema() {}

    /**
     * Derives.
     *
     * @param input the reader's view of an event
     * @param carried names of its fields
     * @throws IllegalArgumentException a field is absent, named twice, or has a name of the fixed part
     */
    static Schema derive(Schema input, List<String> carried, boolean isMultiClass) {
        String fixed = isMultiClass ? FIXED_FIELDS + "," + CLASS_FIELDS : FIXED_FIELDS;
        ObjectNode record = JsonNodeFactory.instance.objectNode().put("type", "record").put("name", NAME);
        ArrayNode fields = record.putArray("fields").addAll((ArrayNode) parse("[" + fixed.replace('\'', '"') + "]"));
        Set<String> taken = new HashSet<>();
        fields.forEach(field -> taken.add(field.get("name").asText()));
        OutputSchema schema = new OutputSchema();
        JsonNode root = parse(input.toString());
        schema.collect(root, "");
        for (String name : carried) {
            if (input.getField(name) == null) {
                throw new IllegalArgumentException("the input schema has no field " + name + " to carry over");
            }
            if (!taken.add(name)) {
                throw new IllegalArgumentException(
                        "the field " + name + " is named twice, or is one of every scored event");
            }
            fields.add(schema.field(root.get("fields").get(input.getField(name).pos()), namespace(input.getFullName())));
        }
        if (schema.spelt.stream().anyMatch(name -> isOwn(name))) {
            throw new IllegalArgumentException("a carried field has a type with a name of a scored event's own");
        }
        return new Schema.Parser(NameValidator.NO_VALIDATION)
                .setValidateDefaults(false)
                .parse(record.toString());
    }

    private static boolean isOwn(String name) {
        String full = name.contains(".") ? name : namespace(NAME) + "." + name;
        return full.equals(NAME) || full.equals(STATUS_NAME);
    }

    private static JsonNode parse(String text) {
        try {
            return JSON.readTree(text);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("a schema is JSON", impossible);
        }
    }

    private void collect(JsonNode type, String namespace) {
        if (type.isArray()) {
            type.forEach(branch -> collect(branch, namespace));
        } else if (type.isObject()) {
            String inner = namespace;
            if (type.has("name")) {
                String own = type.has("namespace") ? type.get("namespace").asText() : namespace;
                String full = full(type.get("name").asText(), own);
                definitions.put(full, type);
                inner = namespace(full);
                namespaces.put(full, inner);
            }
            for (String key : List.of("type", "items", "values")) {
                if (type.has(key)) {
                    collect(type.get(key), inner);
                }
            }
            if (type.has("fields")) {
                for (JsonNode field : type.get("fields")) {
                    collect(field.get("type"), inner);
                }
            }
        }
    }

    private ObjectNode field(JsonNode field, String namespace) {
        ObjectNode kept = JsonNodeFactory.instance.objectNode();
        kept.set("name", field.get("name"));
        kept.set("type", type(field.get("type"), namespace));
        if (field.has("default")) {
            kept.set("default", field.get("default"));
        }
        return kept;
    }

    /** A type without documentation, aliases and properties; named types are spelt out at their first use. */
    private JsonNode type(JsonNode type, String namespace) {
        if (type.isArray()) {
            ArrayNode branches = JsonNodeFactory.instance.arrayNode();
            type.forEach(branch -> branches.add(type(branch, namespace)));
            return branches;
        }
        if (type.isTextual()) {
            String full = full(type.asText(), namespace);
            String known = definitions.containsKey(full) ? full : type.asText();
            return definitions.containsKey(known) ? named(known) : type;
        }
        if (type.has("name")) {
            return named(full(
                    type.get("name").asText(),
                    type.has("namespace") ? type.get("namespace").asText() : namespace));
        }
        if (!type.get("type").isTextual()) {
            return type(type.get("type"), namespace);
        }
        return plain(type, namespace);
    }

    private JsonNode named(String full) {
        if (!spelt.add(full)) {
            return TextNode.valueOf(full);
        }
        JsonNode definition = definitions.get(full);
        ObjectNode kept = kept(definition).put("name", full);
        if (definition.has("fields")) {
            ArrayNode fields = kept.putArray("fields");
            definition.get("fields").forEach(field -> fields.add(field(field, namespaces.get(full))));
        } else if (definition.has("default")) {
            kept.set("default", definition.get("default"));
        }
        return kept;
    }

    /** An array, a map, or a primitive type with or without a logical one. */
    private JsonNode plain(JsonNode type, String namespace) {
        ObjectNode kept = kept(type);
        for (String key : List.of("items", "values")) {
            if (type.has(key)) {
                kept.set(key, type(type.get(key), namespace));
            }
        }
        return kept.size() == 1 ? type.get("type") : kept;
    }

    private static ObjectNode kept(JsonNode type) {
        ObjectNode kept = JsonNodeFactory.instance.objectNode();
        kept.set("type", type.get("type"));
        for (String key : KEPT) {
            if (type.has(key)) {
                kept.set(key, type.get(key));
            }
        }
        return kept;
    }

    private static String full(String name, String namespace) {
        return name.contains(".") || namespace.isEmpty() ? name : namespace + "." + name;
    }

    private static String namespace(String full) {
        return full.contains(".") ? full.substring(0, full.lastIndexOf('.')) : "";
    }
}
