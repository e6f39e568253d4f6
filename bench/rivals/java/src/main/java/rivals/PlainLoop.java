package rivals;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import rivals.scoring.MicroBatch;
import rivals.workload.Workloads;

/**
 * Java written for speed by hand: Kafka's consumer and producer, what a poll brings as micro-batches, codecs by
 * hand, tensors over reused memory. Never waits for a batch to fill.
 */
public final class PlainLoop implements CopyLoop.Step {
    private final MicroBatch<?, byte[]> batch;

    private PlainLoop(Task task) {
        batch = MicroBatch.load(task, Workloads.byHand(task), task.batch());
    }

    /** Runs the task of the environment until SIGTERM. */
    public static void main(String[] arguments) {
        Process.run(task -> CopyLoop.run(task, new PlainLoop(task)));
    }

    @Override
    public void handOn(ConsumerRecords<byte[], byte[]> polled, CopyLoop.Output output) {
        for (ConsumerRecord<byte[], byte[]> event : polled) {
            if (batch.add(event.key(), event.value())) {
                batch.drain(output::send);
            }
        }
        batch.drain(output::send);
    }
}
