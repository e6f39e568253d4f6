package io.github.streaminfer.scorer;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.ZoneOffset;
import java.time.temporal.Temporal;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Function;
import org.apache.avro.Schema;
import org.apache.avro.Schema.Type;
import org.apache.avro.generic.GenericEnumSymbol;
import org.apache.avro.generic.GenericFixed;

/**
 * What a field of a record means as a number or text.
 *
 * <p>Enum symbols are text, a decimal is the nearest double, times and timestamps are seconds as a double, a date is the
 * days since the epoch; everything else is itself. The reader's schema says which of these a field is; the writer's says
 * in which unit or scale, where it names one of the same family, so a producer may go from milliseconds to microseconds
 * without changing a feature.
 */
final class Meaning {
    /** What a written type may be read as, best first. Types not named here are read as themselves only. */
    private static final Map<Type, List<Type>> PROMOTIONS = Map.of(
            Type.INT, List.of(Type.INT, Type.LONG, Type.FLOAT, Type.DOUBLE),
            Type.LONG, List.of(Type.LONG, Type.FLOAT, Type.DOUBLE),
            Type.FLOAT, List.of(Type.FLOAT, Type.DOUBLE),
            Type.STRING, List.of(Type.STRING, Type.BYTES),
            Type.BYTES, List.of(Type.BYTES, Type.STRING));

    private static final Fault BEYOND_DOUBLE = new Fault(Status.OUT_OF_RANGE, "the decimal is beyond a double");
    private static final Fault NOT_UTF8 = new Fault(Status.INVALID_UTF8, "text is not UTF-8");

    private final Map<Type, Function<Object, Object>> conversions = new EnumMap<>(Type.class);
    private final Map<Type, String> writtenLogical = new EnumMap<>(Type.class);
    private final Map<String, Function<Object, Object>> fixed = new HashMap<>();
    private Meaning items;

    /** Compiles the meaning of values that were written as one type and are read as another. */
    Meaning(Schema written, Schema read) {
        List<Schema> candidates = Logical.scalars(read);
        for (Schema branch : Logical.branches(written)) {
            if (branch.getType() == Type.ARRAY) {
                items = new Meaning(branch.getElementType(), read);
                continue;
            }
            writtenLogical.put(branch.getType(), Logical.of(branch));
            Function<Object, Object> conversion = conversion(branch, candidates);
            if (conversion == null) {
                continue;
            }
            if (branch.getType() == Type.FIXED) {
                fixed.put(branch.getFullName(), conversion);
            } else {
                conversions.put(branch.getType(), conversion);
            }
        }
    }

    /** A value of a record as the feature rules take it. */
    Object of(Object value) {
        if (value == null || value instanceof Double || value instanceof Float || value instanceof Boolean) {
            return value;
        }
        if (value instanceof CharSequence) {
            return value;
        }
        if (value instanceof Long) {
            return converted(Type.LONG, value);
        }
        if (value instanceof Integer) {
            return converted(Type.INT, value);
        }
        return ofRarer(value);
    }

    private Object ofRarer(Object value) {
        if (value instanceof GenericEnumSymbol) {
            return converted(Type.ENUM, value.toString());
        }
        if (value instanceof Enum) {
            return converted(Type.ENUM, ((Enum<?>) value).name());
        }
        if (value instanceof ByteBuffer) {
            ByteBuffer view = ((ByteBuffer) value).duplicate();
            byte[] bytes = new byte[view.remaining()];
            view.get(bytes);
            return converted(Type.BYTES, bytes);
        }
        if (value instanceof byte[]) {
            return converted(Type.BYTES, value);
        }
        if (value instanceof GenericFixed) {
            GenericFixed found = (GenericFixed) value;
            Function<Object, Object> conversion = fixed.get(found.getSchema().getFullName());
            return conversion == null ? found.bytes() : conversion.apply(found.bytes());
        }
        if (value instanceof Collection && items != null) {
            List<Object> list = new ArrayList<>(((Collection<?>) value).size());
            for (Object item : (Collection<?>) value) {
                list.add(items.of(item));
            }
            return list;
        }
        return ofConverted(value);
    }

    /** A value that Avro has already made an object of its logical type. */
    private Object ofConverted(Object value) {
        if (value instanceof BigDecimal) {
            return nearestDouble((BigDecimal) value);
        }
        if (value instanceof UUID) {
            return value.toString();
        }
        if (value instanceof LocalDate) {
            return converted(Type.INT, (int) ((LocalDate) value).toEpochDay());
        }
        if (value instanceof LocalTime && writtenLogical.getOrDefault(Type.INT, "").startsWith("time-")) {
            return converted(Type.INT, (int) (((LocalTime) value).toNanoOfDay() / 1_000_000));
        }
        if (value instanceof LocalTime || value instanceof Instant || value instanceof LocalDateTime) {
            return converted(Type.LONG, ticks((Temporal) value, writtenLogical.getOrDefault(Type.LONG, "")));
        }
        return value;
    }

    /** A time as the integer that its logical type stores. */
    private static long ticks(Temporal value, String logical) {
        if (value instanceof LocalTime) {
            return ((LocalTime) value).toNanoOfDay() / 1000;
        }
        Instant moment = value instanceof Instant ? (Instant) value : ((LocalDateTime) value).toInstant(ZoneOffset.UTC);
        long perSecond = (long) Logical.ticksPerSecond(logical.isEmpty() ? "-millis" : logical);
        return moment.getEpochSecond() * perSecond + moment.getNano() / (1_000_000_000L / perSecond);
    }

    private Object converted(Type type, Object value) {
        Function<Object, Object> conversion = conversions.get(type);
        return conversion == null ? value : conversion.apply(value);
    }

    private static Function<Object, Object> conversion(Schema written, List<Schema> candidates) {
        Schema target = target(written, candidates);
        if (target == null) {
            return null;
        }
        String writtenAs = Logical.of(written);
        String readAs = Logical.of(target);
        boolean isSameFamily = Logical.family(writtenAs).equals(Logical.family(readAs));
        if (Logical.isTime(readAs)) {
            double perSecond = Logical.ticksPerSecond(isSameFamily ? writtenAs : readAs);
            return value -> ((Number) value).longValue() / perSecond;
        }
        if (readAs.equals("decimal")) {
            int scale = Logical.scale(isSameFamily ? written : target);
            return value -> decimal((byte[]) value, scale);
        }
        if (written.getType() == Type.BYTES && target.getType() == Type.STRING) {
            return Meaning::utf8;
        }
        if (written.getType() == Type.ENUM && target.getEnumDefault() != null) {
            return symbol -> target.hasEnumSymbol((String) symbol) ? symbol : target.getEnumDefault();
        }
        return null;
    }

    /** The candidate that is the nearest promotion. */
    private static Schema target(Schema written, List<Schema> candidates) {
        for (Type type : PROMOTIONS.getOrDefault(written.getType(), List.of(written.getType()))) {
            for (Schema candidate : candidates) {
                if (candidate.getType() == type) {
                    return candidate;
                }
            }
        }
        return null;
    }

    private static Object decimal(byte[] bytes, int scale) {
        BigInteger unscaled = bytes.length == 0 ? BigInteger.ZERO : new BigInteger(bytes);
        return nearestDouble(new BigDecimal(unscaled, scale));
    }

    private static Object nearestDouble(BigDecimal decimal) {
        double nearest = decimal.doubleValue();
        return Double.isInfinite(nearest) ? BEYOND_DOUBLE : (Object) nearest;
    }

    private static Object utf8(Object bytes) {
        String text = Values.strictText((byte[]) bytes);
        return text == null ? NOT_UTF8 : text;
    }
}
