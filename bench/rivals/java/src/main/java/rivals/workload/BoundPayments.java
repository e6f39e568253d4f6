package rivals.workload;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.PropertyNamingStrategies.SnakeCaseStrategy;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.function.Function;

/** JSON payments by Jackson's data binding: a class with the fields that a model may read; Jackson skips the others. */
final class BoundPayments implements Workload<String> {
    private final ObjectReader reader = new ObjectMapper().readerFor(Payment.class);
    private final ScoredWriter writer = new ScoredWriter();
    private final List<Feature> features;
    private final List<Function<Payment, Object>> fields;

    BoundPayments(Features features) {
        this.features = features.list();
        fields = this.features.stream().map(feature -> field(String.join(".", feature.path()))).toList();
    }

    @Override
    public int width() {
        return features.size();
    }

    @Override
    public String decode(byte[] value, FloatBuffer rows, int first) {
        Payment payment = parse(value);
        for (int slot = 0; slot < features.size(); slot++) {
            rows.put(first + slot, features.get(slot).cell(fields.get(slot).apply(payment)));
        }
        return payment.transactionId;
    }

    @Override
    public byte[] encode(String id, float score) {
        return writer.write(id, score);
    }

    private Payment parse(byte[] value) {
        try {
            return reader.readValue(value);
        } catch (IOException failure) {
            throw new IllegalArgumentException("An event is not a payment in JSON", failure);
        }
    }

    private static Function<Payment, Object> field(String path) {
        return switch (path) {
            case "merchant_category" -> payment -> payment.merchantCategory;
            case "amount" -> payment -> payment.amount;
            case "currency" -> payment -> payment.currency;
            case "channel" -> payment -> payment.channel;
            case "country" -> payment -> payment.country;
            case "geo.lat" -> payment -> payment.geo == null ? null : payment.geo.lat;
            case "geo.lon" -> payment -> payment.geo == null ? null : payment.geo.lon;
            case "local_hour" -> payment -> payment.localHour;
            case "card_age_days" -> payment -> payment.cardAgeDays;
            case "credit_limit" -> payment -> payment.creditLimit;
            case "device_age_days" -> payment -> payment.deviceAgeDays;
            case "authenticated" -> payment -> payment.authenticated;
            case "cross_border" -> payment -> payment.crossBorder;
            case "seconds_since_last" -> payment -> payment.secondsSinceLast;
            case "payments_last_hour" -> payment -> payment.paymentsLastHour;
            case "merchant_tiny_last_hour" -> payment -> payment.merchantTinyLastHour;
            case "amount_ratio" -> payment -> payment.amountRatio;
            case "distance_from_home_km" -> payment -> payment.distanceFromHomeKm;
            default -> throw new IllegalArgumentException("A payment has no field " + path + " for a model");
        };
    }

    /** What a model may read of a payment. */
    @JsonNaming(SnakeCaseStrategy.class)
    @JsonIgnoreProperties(ignoreUnknown = true)
    static final class Payment {
        public String transactionId;
        public String merchantCategory;
        public double amount;
        public String currency;
        public String channel;
        public String country;
        public Place geo;
        public int localHour;
        public int cardAgeDays;
        public double creditLimit;
        public Double deviceAgeDays;
        public boolean authenticated;
        public boolean crossBorder;
        public Long secondsSinceLast;
        public int paymentsLastHour;
        public int merchantTinyLastHour;
        public double amountRatio;
        public Double distanceFromHomeKm;
    }

    /** Where a terminal stands, degrees. */
    static final class Place {
        public double lat;
        public double lon;
    }
}
