package rivals;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.util.Collector;
import rivals.scoring.MicroBatch;
import rivals.workload.Workloads;

/** Flink with a model in a function, as it is usually done: a call of the model for each record. */
public final class FlinkPerRecord extends RichFlatMapFunction<Tuple2<byte[], byte[]>, Tuple2<byte[], byte[]>> {
    private static final long serialVersionUID = 1;

    private final Task task;
    private transient MicroBatch<?, byte[]> single;

    private FlinkPerRecord(Task task) {
        this.task = task;
    }

    /** Runs the task of the environment until SIGTERM. */
    public static void main(String[] arguments) {
        Process.run(task -> FlinkJob.run(
                task, events -> events.flatMap(new FlinkPerRecord(task)).returns(FlinkJob.EVENT)));
    }

    @Override
    public void open(OpenContext context) {
        single = MicroBatch.load(task, Workloads.byLibrary(task), 1);
    }

    @Override
    public void flatMap(Tuple2<byte[], byte[]> event, Collector<Tuple2<byte[], byte[]>> out) {
        single.add(event.f0, event.f1);
        single.drain((key, scored) -> out.collect(Tuple2.of(key, scored)));
    }

    @Override
    public void close() {
        if (single != null) {
            single.close();
        }
    }
}
