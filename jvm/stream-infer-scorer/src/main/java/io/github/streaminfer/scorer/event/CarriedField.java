package io.github.streaminfer.scorer.event;

import io.github.streaminfer.scorer.Status;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/** One field that is carried over from the event, in the type that the bundle's input schema gives it. */
final class CarriedField {
    /** Knows the objects that generated classes have for logical types. */
    private static final GenericData DATA = new GenericData();

    static {
        DATA.addLogicalTypeConversion(new Conversions.DecimalConversion());
        DATA.addLogicalTypeConversion(new Conversions.UUIDConversion());
        DATA.addLogicalTypeConversion(new TimeConversions.DateConversion());
        DATA.addLogicalTypeConversion(new TimeConversions.TimeMillisConversion());
        DATA.addLogicalTypeConversion(new TimeConversions.TimeMicrosConversion());
        DATA.addLogicalTypeConversion(new TimeConversions.TimestampMillisConversion());
        DATA.addLogicalTypeConversion(new TimeConversions.TimestampMicrosConversion());
        DATA.addLogicalTypeConversion(new TimeConversions.LocalTimestampMillisConversion());
        DATA.addLogicalTypeConversion(new TimeConversions.LocalTimestampMicrosConversion());
    }

    private final Schema.Field field;
    /** Where the field is found, by the schema that an event was written with. */
    private final Map<Schema, Found> found = new ConcurrentHashMap<>();

    CarriedField(Schema.Field field) {
        this.field = field;
    }

    /** Writes the field of an event. */
    void write(IndexedRecord event, BinaryEncoder out) throws IOException, RejectedEvent {
        Found place = found.computeIfAbsent(event.getSchema(), this::find);
        try {
            if (place.position < 0) {
                writeDefault(out);
                return;
            }
            Object value = event.get(place.position);
            new GenericDatumWriter<>(field.schema(), DATA).write(place.isSame ? value : resolved(value, place), out);
        } catch (AvroRuntimeException | ClassCastException | NullPointerException misfit) {
            throw rejected(Status.WRONG_TYPE, "its value does not fit the type of the input schema");
        }
    }

    private Found find(Schema written) {
        Schema.Field theirs = written.getField(field.name());
        for (String alias : field.aliases()) {
            theirs = theirs == null ? written.getField(alias) : theirs;
        }
        if (theirs == null) {
            return new Found(-1, null, false, false);
        }
        boolean isSame = theirs.schema().equals(field.schema());
        return new Found(theirs.pos(), theirs.schema(), isSame, hasOtherUnit(theirs.schema(), field.schema()));
    }

    /** True where both name a logical type and not the same: plain resolution would change the value's meaning. */
    private static boolean hasOtherUnit(Schema written, Schema read) {
        if (written.isUnion()) {
            return written.getTypes().stream().anyMatch(branch -> hasOtherUnit(branch, read));
        }
        if (read.isUnion()) {
            return read.getTypes().stream().anyMatch(branch -> hasOtherUnit(written, branch));
        }
        String theirs = written.getProp("logicalType");
        String ours = read.getProp("logicalType");
        boolean areBoth = theirs != null && ours != null && written.getType() == read.getType();
        return areBoth
                && !(theirs.equals(ours)
                        && Objects.equals(written.getObjectProp("scale"), read.getObjectProp("scale")));
    }

    private void writeDefault(BinaryEncoder out) throws IOException, RejectedEvent {
        if (!field.hasDefaultValue()) {
            throw rejected(Status.MISSING_FIELD, "absent, and the input schema has no default for it");
        }
        new GenericDatumWriter<>(field.schema(), GenericData.get()).write(GenericData.get().getDefaultValue(field), out);
    }

    /** A value of the written type as one of the field's, by the rules of Avro. */
    private Object resolved(Object value, Found place) throws IOException, RejectedEvent {
        if (place.hasOtherUnit && value != null) {
            throw rejected(Status.WRONG_TYPE, "it has another unit or scale than the input schema says");
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(bytes, null);
        new GenericDatumWriter<>(place.written, DATA).write(value, encoder);
        return new GenericDatumReader<>(place.written, field.schema())
                .read(null, DecoderFactory.get().binaryDecoder(bytes.toByteArray(), null));
    }

    private RejectedEvent rejected(Status status, String detail) {
        return new RejectedEvent(status, "carried field " + field.name() + ": " + detail);
    }

    /** Where a written schema has the field. */
    private static final class Found {
        final int position;
        final Schema written;
        final boolean isSame;
        final boolean hasOtherUnit;

        Found(int position, Schema written, boolean isSame, boolean hasOtherUnit) {
            this.position = position;
            this.written = written;
            this.isSame = isSame;
            this.hasOtherUnit = hasOtherUnit;
        }
    }
}
