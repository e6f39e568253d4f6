package io.github.streaminfer.scorer;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.generic.IndexedRecord;

/**
 * Events to cells. The feature rules run in the order of the feature list, and the first fault of a row is the one that
 * is reported. May be used by many threads at once.
 */
final class FeatureMapper {
    private static final String KEY = "$key";
    private static final String TIMESTAMP = "$timestamp";
    private static final String HEADER = "$headers.";

    private final List<FeatureFiller> fillers = new ArrayList<>();
    /** Of each filler, the place of its path in {@link #paths}; -1 for what is the record's own. */
    private final int[] places;

    private final List<EventPath> paths = new ArrayList<>();
    private final Map<Schema, PathReader[]> readers = new ConcurrentHashMap<>();

    /**
     * Compiles the feature list.
     *
     * @throws BundleException a path is not in the input schema
     */
    FeatureMapper(List<InputSpec> inputs, Schema inputSchema) {
        List<Integer> found = new ArrayList<>();
        Map<String, Integer> known = new HashMap<>();
        for (int input = 0; input < inputs.size(); input++) {
            int start = 0;
            for (FeatureSpec feature : inputs.get(input).features) {
                fillers.add(new FeatureFiller(feature, inputs.get(input).type, input, start));
                found.add(place(feature.path, inputSchema, known));
                start += feature.length;
            }
        }
        places = found.stream().mapToInt(Integer::intValue).toArray();
    }

    private int place(String path, Schema inputSchema, Map<String, Integer> known) {
        if (path.startsWith("$")) {
            boolean isHeader = path.startsWith(HEADER) && path.length() > HEADER.length();
            if (!isHeader && !path.equals(KEY) && !path.equals(TIMESTAMP)) {
                throw new BundleException(
                        "feature path " + path + ": a path with $ is $key, $timestamp or $headers.NAME");
            }
            return -1;
        }
        return known.computeIfAbsent(path, name -> {
            paths.add(EventPath.find(inputSchema, path));
            return paths.size() - 1;
        });
    }

    /** Fills the cells of one row; why the event is rejected, else null. */
    Fault fill(Event event, Cells cells, int row) {
        IndexedRecord value = event == null ? null : event.value();
        if (value == null) {
            return Fault.TOMBSTONE;
        }
        PathReader[] compiled;
        try {
            compiled = readers.computeIfAbsent(value.getSchema(), this::compile);
        } catch (AvroRuntimeException refused) {
            return new Fault(Status.SCHEMA_REFUSED, "the event's schema cannot be used");
        }
        for (int index = 0; index < fillers.size(); index++) {
            FeatureFiller filler = fillers.get(index);
            int place = places[index];
            Object found = place < 0 ? own(event, filler.feature.path) : compiled[place].read(value);
            Fault fault = filler.fill(found, cells, row);
            if (fault != null) {
                return fault;
            }
        }
        return null;
    }

    private PathReader[] compile(Schema written) {
        return paths.stream().map(path -> PathReader.compile(written, path)).toArray(PathReader[]::new);
    }

    /** What is the record's own: its key or a header as text, its timestamp in seconds. */
    private static Object own(Event event, String path) {
        if (path.equals(TIMESTAMP)) {
            return event.timestampMs() == Event.NO_TIMESTAMP ? null : (Object) (event.timestampMs() / 1e3);
        }
        byte[] bytes = path.equals(KEY) ? event.key() : event.lastHeader(path.substring(HEADER.length()));
        return bytes == null ? null : Values.text(bytes);
    }
}
