package rivals.scoring;

import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;
import rivals.Task;
import rivals.workload.Workload;

/**
 * Events that wait for one call of the model. Whoever scores record by record makes one of capacity 1.
 *
 * @param <I> what the workload keeps of an event until it has a score
 * @param <T> what the caller needs of an event to send its score on: its key, or the record it came in
 */
public final class MicroBatch<I, T> implements AutoCloseable {
    private final Workload<I> workload;
    private final Model model;
    private final List<I> kept;
    private final List<T> origins;

    private MicroBatch(Workload<I> workload, Model model) {
        this.workload = workload;
        this.model = model;
        kept = new ArrayList<>(model.capacity());
        origins = new ArrayList<>(model.capacity());
    }

    /**
     * A batch of at most {@code capacity} events for the task's model.
     *
     * @throws IllegalStateException the model cannot be loaded, or takes rows of another width
     */
    public static <I, T> MicroBatch<I, T> load(Task task, Workload<I> workload, int capacity) {
        Model model = new Model(task.model(), capacity);
        if (model.width() != workload.width()) {
            throw new IllegalStateException("The model takes rows of %d cells, events of workload %s give %d"
                    .formatted(model.width(), task.workload(), workload.width()));
        }
        return new MicroBatch<>(workload, model);
    }

    /**
     * Takes an event in.
     *
     * @return true when the batch is full and has to be drained
     * @throws RuntimeException the event is not one of the workload
     */
    public boolean add(T origin, byte[] value) {
        kept.add(workload.decode(value, model.rows(), kept.size() * model.width()));
        origins.add(origin);
        return kept.size() == model.capacity();
    }

    /** Scores what waits and hands each origin on with its scored event, in the order of {@link #add}. */
    public void drain(BiConsumer<? super T, byte[]> out) {
        if (kept.isEmpty()) {
            return;
        }
        model.run(kept.size());
        for (int row = 0; row < kept.size(); row++) {
            out.accept(origins.get(row), workload.encode(kept.get(row), model.score(row)));
        }
        kept.clear();
        origins.clear();
    }

    @Override
    public void close() {
        model.close();
    }
}
