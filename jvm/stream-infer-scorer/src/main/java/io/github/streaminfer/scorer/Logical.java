package io.github.streaminfer.scorer;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.Schema.Type;

/** The logical types of Avro that a feature's value depends on. One that does not fit its type is ignored. */
final class Logical {
    private static final int MAX_DECIMAL_PRECISION = 1000;
    private static final Map<String, Set<Type>> TYPES = Map.ofEntries(
            Map.entry("date", Set.of(Type.INT)),
            Map.entry("time-millis", Set.of(Type.INT)),
            Map.entry("time-micros", Set.of(Type.LONG)),
            Map.entry("timestamp-millis", Set.of(Type.LONG)),
            Map.entry("timestamp-micros", Set.of(Type.LONG)),
            Map.entry("timestamp-nanos", Set.of(Type.LONG)),
            Map.entry("local-timestamp-millis", Set.of(Type.LONG)),
            Map.entry("local-timestamp-micros", Set.of(Type.LONG)),
            Map.entry("local-timestamp-nanos", Set.of(Type.LONG)),
            Map.entry("decimal", Set.of(Type.BYTES, Type.FIXED)));

    private Logical() {}

    /** The logical type of a schema, or empty text. */
    static String of(Schema schema) {
        String name = schema.getProp("logicalType");
        if (name == null || !TYPES.getOrDefault(name, Set.of()).contains(schema.getType())) {
            return "";
        }
        return name.equals("decimal") && !isDecimal(schema) ? "" : name;
    }

    /** The logical type without its unit: {@code timestamp}, {@code time}, {@code decimal} and so on. */
    static String family(String logical) {
        String name = logical.startsWith("local-") ? logical.substring("local-".length()) : logical;
        int unit = name.lastIndexOf('-');
        return unit < 0 ? name : name.substring(0, unit);
    }

    static boolean isTime(String logical) {
        return family(logical).equals("timestamp") || family(logical).equals("time");
    }

    /** How many of its units make a second. */
    static double ticksPerSecond(String logical) {
        if (logical.endsWith("-millis")) {
            return 1e3;
        }
        return logical.endsWith("-micros") ? 1e6 : 1e9;
    }

    /** Digits behind the point of a decimal. */
    static int scale(Schema schema) {
        Object scale = schema.getObjectProp("scale");
        return scale == null ? 0 : ((Number) scale).intValue();
    }

    private static boolean isDecimal(Schema schema) {
        Object precision = schema.getObjectProp("precision");
        Object scale = schema.getObjectProp("scale");
        if (!(precision instanceof Integer) || !(scale == null || scale instanceof Integer)) {
            return false;
        }
        int digits = (Integer) precision;
        return digits > 0 && digits <= MAX_DECIMAL_PRECISION && scale(schema) >= 0 && scale(schema) <= digits;
    }

    /** The branches of a union, or the type itself. */
    static List<Schema> branches(Schema schema) {
        return schema.isUnion() ? schema.getTypes() : List.of(schema);
    }

    /** The scalar types found through unions and arrays, not through records and maps. */
    static List<Schema> scalars(Schema schema) {
        List<Schema> found = new ArrayList<>();
        for (Schema branch : branches(schema)) {
            if (branch.getType() == Type.ARRAY) {
                found.addAll(scalars(branch.getElementType()));
            } else if (branch.getType() != Type.RECORD && branch.getType() != Type.MAP) {
                found.add(branch);
            }
        }
        return found;
    }
}
