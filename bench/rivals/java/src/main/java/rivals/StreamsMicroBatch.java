package rivals;

import java.time.Duration;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import rivals.scoring.MicroBatch;
import rivals.workload.Workloads;

/**
 * Kafka Streams with records held back until there are enough for a call of the model, and codecs by hand.
 *
 * <p>NOT safe against crashes, and here for its speed only: Kafka Streams takes a record for consumed as soon as {@code
 * process} returns, so those that are held when the process dies, or when partitions move, are lost.
 */
public final class StreamsMicroBatch extends ContextualFixedKeyProcessor<byte[], byte[], byte[]> {
    private final MicroBatch<?, FixedKeyRecord<byte[], byte[]>> batch;
    private final Duration linger;

    private StreamsMicroBatch(Task task) {
        batch = MicroBatch.load(task, Workloads.byHand(task), task.batch());
        linger = Duration.ofMillis(task.lingerMs());
    }

    /** Runs the task of the environment until SIGTERM. */
    public static void main(String[] arguments) {
        Process.run(task -> StreamsApp.start(task, () -> new StreamsMicroBatch(task)));
    }

    @Override
    public void init(FixedKeyProcessorContext<byte[], byte[]> context) {
        super.init(context);
        context.schedule(linger, PunctuationType.WALL_CLOCK_TIME, timestamp -> drain());
    }

    @Override
    public void process(FixedKeyRecord<byte[], byte[]> record) {
        if (batch.add(record, record.value())) {
            drain();
        }
    }

    @Override
    public void close() {
        batch.close();
    }

    private void drain() {
        batch.drain((origin, scored) -> context().forward(origin.withValue(scored)));
    }
}
