package rivals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;

/** A Kafka Streams application of one processor between two topics, in one thread. */
final class StreamsApp {
    private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(10);

    private StreamsApp() {}

    /** Starts the application; it runs until SIGTERM, a failure ends the process with 1. */
    static void start(Task task, FixedKeyProcessorSupplier<byte[], byte[], byte[]> processor) throws IOException {
        Path states = Files.createTempDirectory("rival-streams");
        KafkaStreams streams = new KafkaStreams(topology(task, processor), settings(task, states));
        streams.setUncaughtExceptionHandler(failure -> {
            Process.fail(failure);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Process.onTermination(() -> {
            streams.close(CLOSE_TIMEOUT);
            streams.cleanUp();
            Files.deleteIfExists(states);
        });
        streams.start();
    }

    private static Topology topology(Task task, FixedKeyProcessorSupplier<byte[], byte[], byte[]> processor) {
        Serde<byte[]> bytes = Serdes.ByteArray();
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(task.input(), Consumed.with(bytes, bytes))
                .processValues(processor)
                .to(task.output(), Produced.with(bytes, bytes));
        return builder.build();
    }

    private static Properties settings(Task task, Path states) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, task.group());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, task.bootstrap());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, states.toString());
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Task.COMMIT_INTERVAL_MS);
        Clients.fetching().forEach((name, value) -> settings.put(StreamsConfig.mainConsumerPrefix((String) name), value));
        Clients.sending().forEach((name, value) -> settings.put(StreamsConfig.producerPrefix((String) name), value));
        return settings;
    }
}
