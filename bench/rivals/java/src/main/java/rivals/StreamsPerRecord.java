package rivals;

import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import rivals.scoring.MicroBatch;
import rivals.workload.Workloads;

/** Kafka Streams with a model in its processor, as it is usually done: a call of the model for each record. */
public final class StreamsPerRecord extends ContextualFixedKeyProcessor<byte[], byte[], byte[]> {
    private final MicroBatch<?, FixedKeyRecord<byte[], byte[]>> single;

    private StreamsPerRecord(Task task) {
        single = MicroBatch.load(task, Workloads.byLibrary(task), 1);
    }

    /** Runs the task of the environment until SIGTERM. */
    public static void main(String[] arguments) {
        Process.run(task -> StreamsApp.start(task, () -> new StreamsPerRecord(task)));
    }

    @Override
    public void process(FixedKeyRecord<byte[], byte[]> record) {
        single.add(record, record.value());
        single.drain((origin, scored) -> context().forward(origin.withValue(scored)));
    }

    @Override
    public void close() {
        single.close();
    }
}
