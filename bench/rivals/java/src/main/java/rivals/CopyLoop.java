package rivals;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Consume, hand on, produce; at least once.
 *
 * <p>The rule: offsets are committed only when all that was made of the events before them has been delivered, every
 * second and whenever partitions are taken away. A step has handed on all it was given when it returns.
 */
final class CopyLoop {
    private static final Duration POLL_WAIT = Duration.ofMillis(100);
    private static final long COMMIT_INTERVAL_NS = TimeUnit.MILLISECONDS.toNanos(Task.COMMIT_INTERVAL_MS);

    private final Task task;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final KafkaProducer<byte[], byte[]> producer;
    private volatile boolean stopped;
    private volatile Exception undelivered;

    private CopyLoop(Task task) {
        this.task = task;
        consumer = new KafkaConsumer<>(
                Clients.consumer(task), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        producer = new KafkaProducer<>(Clients.producer(task), new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** What is done with polled events. */
    @FunctionalInterface
    interface Step {
        void handOn(ConsumerRecords<byte[], byte[]> polled, Output output);
    }

    /** Where events go. */
    @FunctionalInterface
    interface Output {
        void send(byte[] key, byte[] value);
    }

    /** Runs until SIGTERM. */
    static void run(Task task, Step step) {
        CopyLoop loop = new CopyLoop(task);
        Thread runner = Thread.currentThread();
        Process.onTermination(() -> {
            loop.stopped = true;
            runner.join();
        });
        loop.copy(step);
    }

    private void copy(Step step) {
        try (consumer; producer) {
            consumer.subscribe(List.of(task.input()), new CommitBeforeRevocation());
            long committedAt = System.nanoTime();
            while (!stopped) {
                step.handOn(consumer.poll(POLL_WAIT), this::send);
                if (System.nanoTime() - committedAt > COMMIT_INTERVAL_NS) {
                    commit();
                    committedAt = System.nanoTime();
                }
            }
            commit();
        }
    }

    private void send(byte[] key, byte[] value) {
        producer.send(new ProducerRecord<>(task.output(), key, value), (metadata, failure) -> {
            if (failure != null) {
                undelivered = failure;
            }
        });
    }

    private void commit() {
        producer.flush();
        if (undelivered != null) {
            throw new IllegalStateException("An event was not delivered", undelivered);
        }
        consumer.commitSync();
    }

    /** Called within {@code poll}, when all events of the poll before have been handed on. */
    private final class CommitBeforeRevocation implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            commit();
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            // The consumer goes on from the committed offsets by itself.
        }
    }
}
