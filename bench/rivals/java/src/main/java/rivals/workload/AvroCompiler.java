package rivals.workload;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;

/** Turns a schema and the features wanted of it into the steps of an {@link AvroWalk}. */
final class AvroCompiler {
    /** What a step reads. */
    enum Op {
        LONG,
        FLOAT,
        DOUBLE,
        BOOLEAN,
        ENUM,
        TEXT,
        ID,
        /** The number of a union's branch; where it is the null, {@link Step#jump} steps are left out. */
        NULLABLE
    }

    /**
     * One step over the bytes of an event.
     *
     * @param slot the cell that it fills; -1 for what is only stepped over
     * @param codes cells by number of an enum's symbol
     * @param texts codes of a category's texts
     * @param jump steps of the other branch, of a NULLABLE
     * @param nullBranch number of the null among the branches, of a NULLABLE
     */
    record Step(Op op, int slot, float[] codes, TextCodes texts, int jump, int nullBranch) {}

    private final Features features;
    private final Map<String, Integer> slots;
    private final String idField;
    private final List<Step> steps = new ArrayList<>();

    private AvroCompiler(Features features, String idField) {
        this.features = features;
        this.slots = features.slots();
        this.idField = idField;
    }

    /**
     * The steps for events of {@code schema}.
     *
     * @throws IllegalArgumentException a field is of a type that no workload has
     */
    static Step[] compile(Schema schema, String idField, Features features) {
        AvroCompiler compiler = new AvroCompiler(features, idField);
        compiler.add(schema, "");
        return compiler.steps.toArray(Step[]::new);
    }

    /** The branch beside the null of a nullable type; the type itself where it is none. */
    static Schema withoutNull(Schema schema) {
        if (schema.getType() != Schema.Type.UNION) {
            return schema;
        }
        List<Schema> branches = schema.getTypes();
        if (branches.size() != 2 || branches.stream().noneMatch(Schema::isNullable)) {
            throw new IllegalArgumentException("A union other than of null and one more type is not covered");
        }
        return branches.get(1 - nullBranch(schema));
    }

    private static int nullBranch(Schema union) {
        return union.getTypes().get(0).getType() == Schema.Type.NULL ? 0 : 1;
    }

    private void add(Schema schema, String path) {
        switch (schema.getType()) {
            case RECORD -> schema.getFields().forEach(field ->
                    add(field.schema(), path.isEmpty() ? field.name() : path + "." + field.name()));
            case UNION -> addNullable(schema, path);
            case INT, LONG -> add(Op.LONG, path);
            case FLOAT -> add(Op.FLOAT, path);
            case DOUBLE -> add(Op.DOUBLE, path);
            case BOOLEAN -> add(Op.BOOLEAN, path);
            case STRING -> add(path.equals(idField) ? Op.ID : Op.TEXT, path);
            case ENUM -> addEnum(schema, path);
            default -> throw new IllegalArgumentException(
                    "Field " + path + " is of type " + schema.getType().getName() + ", which is not covered");
        }
    }

    private void add(Op op, String path) {
        int slot = slots.getOrDefault(path, -1);
        TextCodes texts = slot < 0 || op != Op.TEXT ? null : new TextCodes(features.list().get(slot));
        steps.add(new Step(op, slot, null, texts, 0, 0));
    }

    private void addEnum(Schema schema, String path) {
        int slot = slots.getOrDefault(path, -1);
        float[] codes = new float[schema.getEnumSymbols().size()];
        for (int symbol = 0; slot >= 0 && symbol < codes.length; symbol++) {
            codes[symbol] = features.list().get(slot).code(schema.getEnumSymbols().get(symbol));
        }
        steps.add(new Step(Op.ENUM, slot, codes, null, 0, 0));
    }

    private void addNullable(Schema union, String path) {
        int at = steps.size();
        add(withoutNull(union), path);
        int jump = steps.size() - at;
        steps.add(at, new Step(Op.NULLABLE, -1, null, null, jump, nullBranch(union)));
    }
}
