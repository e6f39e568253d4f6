package io.github.streaminfer.scorer;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.JsonProperties;
import org.apache.avro.Schema;
import org.apache.avro.Schema.Type;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.IndexedRecord;

/** A path into the event: names of fields of the reader's schema, level by level through records. */
final class EventPath {
    /** The record that each field is in, by level. */
    final List<Schema> records;

    final List<Schema.Field> fields;
    /** What the whole path is where the field of a level is absent: drawn from that field's default. */
    final List<Object> absent;

    private EventPath(List<Schema> records, List<Schema.Field> fields) {
        this.records = records;
        this.fields = fields;
        List<Object> values = new ArrayList<>();
        for (int level = 0; level < fields.size(); level++) {
            values.add(absent(fields.subList(level, fields.size())));
        }
        this.absent = Collections.unmodifiableList(values);
    }

    /**
     * Finds a path in the reader's schema.
     *
     * @throws BundleException it is not there, or leads to a record or a map
     */
    static EventPath find(Schema schema, String path) {
        List<Schema> records = new ArrayList<>();
        List<Schema.Field> fields = new ArrayList<>();
        Schema record = schema;
        for (String name : path.split("\\.", -1)) {
            Schema.Field field = record == null ? null : record.getField(name);
            if (field == null) {
                String known = record == null
                        ? "what is before it is no record"
                        : "it has " + record.getFields().stream().map(Schema.Field::name).collect(Collectors.joining(", "));
                throw new BundleException(
                        "feature path " + path + ": the input schema has no field " + name + " there; " + known);
            }
            records.add(record);
            fields.add(field);
            record = recordOf(field.schema());
        }
        Schema leaf = fields.get(fields.size() - 1).schema();
        if (record != null || Logical.branches(leaf).stream().anyMatch(branch -> branch.getType() == Type.MAP)) {
            throw new BundleException(
                    "feature path " + path + ": it leads to a record or a map; name one of the fields in it");
        }
        return new EventPath(records, fields);
    }

    /** The reader's type at the end of the path. */
    Schema leaf() {
        return fields.get(fields.size() - 1).schema();
    }

    int depth() {
        return fields.size();
    }

    /** The record that a type is, or that a union holds; null without one. */
    private static Schema recordOf(Schema schema) {
        return Logical.branches(schema).stream()
                .filter(branch -> branch.getType() == Type.RECORD)
                .findFirst()
                .orElse(null);
    }

    private static Object absent(List<Schema.Field> fields) {
        Schema.Field first = fields.get(0);
        if (!first.hasDefaultValue() || first.defaultVal() == JsonProperties.NULL_VALUE) {
            return null;
        }
        Object value;
        try {
            value = GenericData.get().getDefaultValue(first);
        } catch (AvroRuntimeException misfit) {
            throw new BundleException(
                    "the bundle's input schema cannot be used: the default of field " + first.name()
                            + " does not fit its type",
                    misfit);
        }
        for (Schema.Field field : fields.subList(1, fields.size())) {
            value = value == null ? null : ((IndexedRecord) value).get(field.pos());
        }
        Schema leaf = fields.get(fields.size() - 1).schema();
        return new Meaning(leaf, leaf).of(value);
    }
}
