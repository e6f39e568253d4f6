package rivals;

import java.util.Properties;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;

/** Settings of Kafka's clients, the same for every rival that has a say in them. Chosen for throughput. */
final class Clients {
    /** A fetch waits for this much, or for {@link #FETCH_WAIT_MS}: fewer and fuller answers. */
    private static final int FETCH_MIN_BYTES = 64 << 10;

    private static final int FETCH_WAIT_MS = 5;
    private static final int POLL_RECORDS = 2000;
    private static final int PRODUCER_BATCH_BYTES = 128 << 10;
    private static final int PRODUCER_LINGER_MS = 20;

    private Clients() {}

    /** What a consumer is given; offsets are committed by the rival. */
    static Properties consumer(Task task) {
        Properties properties = connection(task);
        properties.put(ConsumerConfig.GROUP_ID_CONFIG, task.group());
        properties.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        properties.putAll(fetching());
        return properties;
    }

    /** How a consumer fetches. */
    static Properties fetching() {
        Properties properties = new Properties();
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        properties.put(ConsumerConfig.FETCH_MIN_BYTES_CONFIG, FETCH_MIN_BYTES);
        properties.put(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, FETCH_WAIT_MS);
        properties.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, POLL_RECORDS);
        return properties;
    }

    /** What a producer is given. */
    static Properties producer(Task task) {
        Properties properties = connection(task);
        properties.putAll(sending());
        return properties;
    }

    /** How a producer gathers and sends: idempotent, to all replicas. */
    static Properties sending() {
        Properties properties = new Properties();
        properties.put(ProducerConfig.ACKS_CONFIG, "all");
        properties.put(ProducerConfig.BATCH_SIZE_CONFIG, PRODUCER_BATCH_BYTES);
        properties.put(ProducerConfig.LINGER_MS_CONFIG, PRODUCER_LINGER_MS);
        return properties;
    }

    private static Properties connection(Task task) {
        Properties properties = new Properties();
        properties.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, task.bootstrap());
        return properties;
    }
}
