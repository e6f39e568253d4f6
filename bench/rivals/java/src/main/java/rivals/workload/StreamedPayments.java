package rivals.workload;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.HashMap;
import java.util.Map;

/** JSON payments by Jackson's streaming parser: what the model reads goes straight to its row, no object is bound. */
final class StreamedPayments implements Workload<byte[]> {
    private final JsonFactory json =
            JsonFactory.builder().enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER).build();
    private final Map<String, Node> fields = new HashMap<>();
    private final int width;
    private JsonParser parser;
    private FloatBuffer rows;
    private int first;
    private byte[] id;

    StreamedPayments(String idField, Features features) {
        width = features.size();
        for (int slot = 0; slot < width; slot++) {
            plant(features.list().get(slot), slot);
        }
        fields.put(idField, new Id());
    }

    @Override
    public int width() {
        return width;
    }

    @Override
    public byte[] decode(byte[] value, FloatBuffer rows, int first) {
        this.rows = rows;
        this.first = first;
        for (int slot = 0; slot < width; slot++) {
            rows.put(first + slot, Feature.MISSING);
        }
        try (JsonParser opened = json.createParser(value)) {
            parser = opened;
            parser.nextToken();
            readObject(fields);
        } catch (IOException failure) {
            throw new IllegalArgumentException("An event is not a payment in JSON", failure);
        }
        return id;
    }

    @Override
    public byte[] encode(byte[] id, float score) {
        return ScoredText.write(id, score);
    }

    private void readObject(Map<String, Node> wanted) throws IOException {
        for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
            Node node = wanted.get(name);
            JsonToken token = parser.nextToken();
            if (node == null) {
                parser.skipChildren();
            } else if (token != JsonToken.VALUE_NULL) {
                node.read(token);
            }
        }
    }

    private void plant(Feature feature, int slot) {
        Map<String, Node> record = fields;
        int last = feature.path().size() - 1;
        for (String name : feature.path().subList(0, last)) {
            record = ((Inner) record.computeIfAbsent(name, unused -> new Inner(new HashMap<>()))).fields();
        }
        record.put(feature.path().get(last), new Cell(feature, slot));
    }

    /** What is done with a field's value, which is not null. */
    private interface Node {
        void read(JsonToken token) throws IOException;
    }

    private final class Inner implements Node {
        private final Map<String, Node> inside;

        Inner(Map<String, Node> inside) {
            this.inside = inside;
        }

        Map<String, Node> fields() {
            return inside;
        }

        @Override
        public void read(JsonToken token) throws IOException {
            readObject(inside);
        }
    }

    private final class Cell implements Node {
        private final Feature feature;
        private final int slot;

        Cell(Feature feature, int slot) {
            this.feature = feature;
            this.slot = slot;
        }

        @Override
        public void read(JsonToken token) throws IOException {
            rows.put(first + slot, switch (token) {
                case VALUE_STRING -> feature.code(parser.getText());
                case VALUE_TRUE -> 1;
                case VALUE_FALSE -> 0;
                default -> (float) parser.getDoubleValue();
            });
        }
    }

    private final class Id implements Node {
        @Override
        public void read(JsonToken token) throws IOException {
            byte[] text = JsonStringEncoder.getInstance().quoteAsUTF8(parser.getText());
            id = new byte[text.length + 2];
            id[0] = '"';
            System.arraycopy(text, 0, id, 1, text.length);
            id[id.length - 1] = '"';
        }
    }
}
