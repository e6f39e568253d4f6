package rivals.workload;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.avro.Schema;
import rivals.Task;

/** The workloads by name, each in two ways of reading and writing: with the usual library, and by hand. */
public final class Workloads {
    private Workloads() {}

    /**
     * As the documentation of Avro and of Jackson advises: generic records and data binding.
     *
     * @throws IllegalArgumentException there is no such workload
     */
    public static Workload<?> byLibrary(Task task) {
        return switch (task.workload()) {
            case "payment", "payment_500", "payment_logistic", "payment_mlp", "floats" ->
                new AvroRecords(schema(task), outputSchema(task), idField(task), features(task));
            case "crayfish" -> new BoundImages();
            case "payment_json" -> new BoundPayments(features(task));
            default -> throw unknown(task);
        };
    }

    /**
     * By code that walks the bytes and makes nothing but the output.
     *
     * @throws IllegalArgumentException there is no such workload
     */
    public static Workload<?> byHand(Task task) {
        return switch (task.workload()) {
            case "payment", "payment_500", "payment_logistic", "payment_mlp", "floats" ->
                new AvroWalk(schema(task), idField(task), features(task));
            case "crayfish" -> new ScannedImages();
            case "payment_json" -> new StreamedPayments(idField(task), features(task));
            default -> throw unknown(task);
        };
    }

    private static String idField(Task task) {
        return task.workload().equals("floats") ? "id" : "transaction_id";
    }

    private static Features features(Task task) {
        return Features.load(task.assets());
    }

    private static Schema schema(Task task) {
        return parse(task.schema());
    }

    private static Schema outputSchema(Task task) {
        return parse(task.outputSchema());
    }

    private static Schema parse(File file) {
        try {
            return new Schema.Parser().parse(file);
        } catch (IOException failure) {
            throw new UncheckedIOException(file + " could not be read", failure);
        }
    }

    private static IllegalArgumentException unknown(Task task) {
        return new IllegalArgumentException("RIVAL_WORKLOAD is " + task.workload()
                + "; it can be payment, payment_500, payment_logistic, payment_mlp, payment_json, floats or crayfish");
    }
}
