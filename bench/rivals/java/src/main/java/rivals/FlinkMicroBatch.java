package rivals;

import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import rivals.scoring.MicroBatch;
import rivals.workload.Workloads;

/**
 * Flink with an operator that holds events back until there are enough for a call of the model, and codecs by hand.
 *
 * <p>Safe against crashes: what is held is scored and sent on before each checkpoint, as Flink's own bundling operators
 * do, so a checkpoint never finds anything held.
 */
public final class FlinkMicroBatch extends AbstractStreamOperator<Tuple2<byte[], byte[]>>
        implements OneInputStreamOperator<Tuple2<byte[], byte[]>, Tuple2<byte[], byte[]>> {
    private static final long serialVersionUID = 1;

    private final Task task;
    private transient MicroBatch<?, byte[]> batch;

    private FlinkMicroBatch(Task task) {
        this.task = task;
    }

    /** Runs the task of the environment until SIGTERM. */
    public static void main(String[] arguments) {
        Process.run(task -> FlinkJob.run(
                task, events -> events.transform("score", FlinkJob.EVENT, new FlinkMicroBatch(task))));
    }

    @Override
    public void open() throws Exception {
        super.open();
        batch = MicroBatch.load(task, Workloads.byHand(task), task.batch());
        getProcessingTimeService()
                .scheduleWithFixedDelay(timestamp -> drain(), task.lingerMs(), task.lingerMs());
    }

    @Override
    public void processElement(StreamRecord<Tuple2<byte[], byte[]>> event) {
        if (batch.add(event.getValue().f0, event.getValue().f1)) {
            drain();
        }
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpoint) {
        drain();
    }

    @Override
    public void finish() {
        drain();
    }

    @Override
    public void close() throws Exception {
        if (batch != null) {
            batch.close();
        }
        super.close();
    }

    private void drain() {
        batch.drain((key, scored) -> output.collect(new StreamRecord<>(Tuple2.of(key, scored))));
    }
}
