package io.github.streaminfer.scorer;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.Schema.Type;
import org.apache.avro.generic.IndexedRecord;

/**
 * Reads one path out of records of one written schema. A null on the way is a missing value; fields are found by name,
 * else by an alias of the reader's schema.
 */
final class PathReader {
    /** Of the field in the record; -1 where the writer lacks it. */
    private final int position;

    private final Object absent;
    /** At the end of the path, else null. */
    private final Meaning meaning;
    /** On the way: readers of the rest by the full name of the record that is found. */
    private final Map<String, PathReader> below;

    private PathReader(int position, Object absent, Meaning meaning, Map<String, PathReader> below) {
        this.position = position;
        this.absent = absent;
        this.meaning = meaning;
        this.below = below;
    }

    /** Compiles the reader of a path for one written record. */
    static PathReader compile(Schema written, EventPath path) {
        return compile(written, path, 0);
    }

    private static PathReader compile(Schema written, EventPath path, int level) {
        String name = matches(written, path.records.get(level)).get(path.fields.get(level).name());
        if (name == null) {
            return new PathReader(-1, path.absent.get(level), null, Map.of());
        }
        Schema.Field field = written.getField(name);
        if (level == path.depth() - 1) {
            return new PathReader(field.pos(), null, new Meaning(field.schema(), path.leaf()), Map.of());
        }
        Map<String, PathReader> below = new HashMap<>();
        for (Schema branch : Logical.branches(field.schema())) {
            if (branch.getType() == Type.RECORD) {
                below.put(branch.getFullName(), compile(branch, path, level + 1));
            }
        }
        return new PathReader(field.pos(), null, null, below);
    }

    /** Names of the reader's fields with the writer's fields that fill them. */
    static Map<String, String> matches(Schema written, Schema read) {
        Map<String, String> matches = new HashMap<>();
        Set<String> taken = new HashSet<>();
        for (Schema.Field ours : read.getFields()) {
            String found = written.getField(ours.name()) != null && !taken.contains(ours.name()) ? ours.name() : null;
            for (String alias : ours.aliases()) {
                if (found == null && written.getField(alias) != null && !taken.contains(alias)) {
                    found = alias;
                }
            }
            if (found != null) {
                taken.add(found);
                matches.put(ours.name(), found);
            }
        }
        return matches;
    }

    /** The value for the feature rules: null where it is missing, a {@link Fault} where the path leads nowhere. */
    Object read(IndexedRecord record) {
        if (position < 0) {
            return absent;
        }
        Object value = record.get(position);
        if (meaning != null) {
            return meaning.of(value);
        }
        if (value == null) {
            return null;
        }
        PathReader next = value instanceof IndexedRecord
                ? below.get(((IndexedRecord) value).getSchema().getFullName())
                : null;
        return next == null
                ? BadValue.wrongType("a record on the way", value).fault
                : next.read((IndexedRecord) value);
    }
}
