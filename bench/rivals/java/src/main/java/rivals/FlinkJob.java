package rivals;

import java.time.Duration;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.JobManagerOptions;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * A Flink job from topic to topic in a cluster within this process: one slot, all operators chained, objects reused, a
 * checkpoint each second (which commits the offsets).
 */
final class FlinkJob {
    private static final TypeInformation<byte[]> BYTES = PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;

    /** A key and a value. */
    static final TypeInformation<Tuple2<byte[], byte[]>> EVENT = Types.TUPLE(BYTES, BYTES);

    private static final String LOOPBACK = "127.0.0.1";

    private FlinkJob() {}

    /** What the job does with its events. */
    @FunctionalInterface
    interface Scoring {
        DataStream<Tuple2<byte[], byte[]>> apply(DataStream<Tuple2<byte[], byte[]>> events);
    }

    /** Runs until SIGTERM; a failure ends the process with 1. */
    static void run(Task task, Scoring scoring) throws Exception {
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(1, settings());
        DataStream<Tuple2<byte[], byte[]>> events =
                environment.fromSource(source(task), WatermarkStrategy.noWatermarks(), "events");
        scoring.apply(events).sinkTo(sink(task));
        JobClient job = environment.executeAsync("rival");
        Process.onTermination(() -> job.cancel().get());
        job.getJobExecutionResult().whenComplete((result, failure) -> {
            if (failure != null && !isCancelled(job)) {
                Process.fail(failure);
            }
        });
    }

    private static boolean isCancelled(JobClient job) {
        return job.getJobStatus().join() == JobStatus.CANCELED;
    }

    private static Configuration settings() {
        Configuration settings = new Configuration();
        settings.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofMillis(Task.COMMIT_INTERVAL_MS));
        settings.set(PipelineOptions.OBJECT_REUSE, true);
        settings.set(PipelineOptions.AUTO_WATERMARK_INTERVAL, Duration.ZERO);
        settings.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
        settings.set(TaskManagerOptions.NUM_TASK_SLOTS, 1);
        settings.set(TaskManagerOptions.HOST, LOOPBACK);
        settings.set(JobManagerOptions.ADDRESS, LOOPBACK);
        settings.set(RestOptions.ADDRESS, LOOPBACK);
        settings.set(RestOptions.BIND_ADDRESS, LOOPBACK);
        settings.set(RestOptions.BIND_PORT, "0");
        return settings;
    }

    private static KafkaSource<Tuple2<byte[], byte[]>> source(Task task) {
        return KafkaSource.<Tuple2<byte[], byte[]>>builder()
                .setBootstrapServers(task.bootstrap())
                .setTopics(task.input())
                .setGroupId(task.group())
                .setProperties(Clients.fetching())
                .setProperty(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false")
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new KeysAndValues())
                .build();
    }

    private static KafkaSink<Tuple2<byte[], byte[]>> sink(Task task) {
        return KafkaSink.<Tuple2<byte[], byte[]>>builder()
                .setBootstrapServers(task.bootstrap())
                .setKafkaProducerConfig(Clients.sending())
                .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                .setRecordSerializer(new ToTopic(task.output()))
                .build();
    }

    private static final class KeysAndValues implements KafkaRecordDeserializationSchema<Tuple2<byte[], byte[]>> {
        private static final long serialVersionUID = 1;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<byte[], byte[]>> out) {
            out.collect(Tuple2.of(record.key(), record.value()));
        }

        @Override
        public TypeInformation<Tuple2<byte[], byte[]>> getProducedType() {
            return EVENT;
        }
    }

    /** A class of its own: Flink looks for the types of a serializer, and cannot see those of a lambda. */
    private static final class ToTopic implements KafkaRecordSerializationSchema<Tuple2<byte[], byte[]>> {
        private static final long serialVersionUID = 1;

        private final String topic;

        ToTopic(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(
                Tuple2<byte[], byte[]> event, KafkaSinkContext context, Long timestamp) {
            return new ProducerRecord<>(topic, event.f0, event.f1);
        }
    }
}
