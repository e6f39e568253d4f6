package io.github.streaminfer.scorer;

import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedDeque;

/**
 * Events or cells through a model. Only rows that pass the feature rules reach it, and what it does with one of them is a
 * status in that row: a call that fails is repeated on its halves until the culprit is alone. May be used by many threads
 * at once.
 */
final class Inference {
    private static final int MAX_ROWS_PER_CALL = 8192;
    private static final int MIN_ROWS_PER_CALL = 64;
    /** Of the cells of a call, which are kept for the next one. */
    private static final int MAX_BYTES_PER_CALL = 32 * 1024 * 1024;

    private final OnnxModel model;
    private final FeatureMapper mapper;
    private final List<InputSpec> inputs;
    private final List<String> classes;
    private final int columns;
    private final int scoreColumn;
    private final int maxRows;
    private final Deque<Cells> spare = new ConcurrentLinkedDeque<>();

    Inference(OnnxModel model, Bundle bundle) {
        this.model = model;
        this.mapper = new FeatureMapper(bundle.manifest.inputs, bundle.inputSchema);
        this.inputs = bundle.manifest.inputs;
        this.classes = bundle.manifest.isMultiClass() ? bundle.manifest.classes : List.of();
        this.columns = bundle.manifest.scoreOutput().columns();
        this.scoreColumn = bundle.manifest.scoreColumn;
        int rowBytes = Double.BYTES * inputs.stream().mapToInt(input -> input.width).sum();
        this.maxRows = Math.min(MAX_ROWS_PER_CALL, Math.max(MIN_ROWS_PER_CALL, MAX_BYTES_PER_CALL / rowBytes));
    }

    /** Scores events. */
    Scored score(List<? extends Event> events, Decision decision) {
        Answers answers = new Answers(events.size(), classes, decision);
        Cells cells = take(events.size());
        int[] rows = new int[cells.capacity];
        int filled = 0;
        int row = 0;
        for (Iterator<? extends Event> each = events.iterator(); each.hasNext(); row++) {
            Fault fault = mapper.fill(each.next(), cells, filled);
            if (fault != null) {
                answers.reject(row, fault);
                continue;
            }
            rows[filled++] = row;
            if (filled == cells.capacity) {
                run(cells, rows, 0, filled, answers);
                filled = 0;
            }
        }
        if (filled > 0) {
            run(cells, rows, 0, filled, answers);
        }
        spare.push(cells);
        return answers.finished();
    }

    /** Scores rows of a model with one float32 input. */
    Scored score(float[] given, int count, Decision decision) {
        boolean isPlain = inputs.size() == 1 && inputs.get(0).type == CellType.FLOAT32;
        if (!isPlain) {
            throw new IllegalArgumentException("rows of floats are for a model with one float32 input, and this has "
                    + inputs.size() + " of which the first is " + inputs.get(0).type.label());
        }
        int width = inputs.get(0).width;
        if (count < 0 || given.length < (long) count * width) {
            throw new IllegalArgumentException(
                    given.length + " cells are too few for " + count + " rows of " + width);
        }
        Answers answers = new Answers(count, classes, decision);
        Cells cells = take(count);
        int[] rows = new int[cells.capacity];
        for (int start = 0; start < count; start += cells.capacity) {
            int taken = Math.min(cells.capacity, count - start);
            ((InputCells.Floats) cells.input(0)).putRows(given, start, taken);
            for (int row = 0; row < taken; row++) {
                rows[row] = start + row;
            }
            run(cells, rows, 0, taken, answers);
        }
        spare.push(cells);
        return answers.finished();
    }

    /** Cells {@code start} to {@code stop}; {@code rows} says of which rows of the batch they are. */
    private void run(Cells cells, int[] rows, int start, int stop, Answers answers) {
        try {
            float[] output = model.run(cells, start, stop - start);
            for (int index = start; index < stop; index++) {
                answers.score(rows[index], output, (index - start) * columns, columns, scoreColumn);
            }
        } catch (ModelFailure failure) {
            if (stop - start == 1) {
                answers.reject(rows[start], new Fault(Status.MODEL_FAILED, failure.getMessage()));
                return;
            }
            int middle = (start + stop) >>> 1;
            run(cells, rows, start, middle, answers);
            run(cells, rows, middle, stop, answers);
        }
    }

    /** Cells for a call, as large as the largest so far: a new allocation for each would be slow and of no end. */
    private Cells take(int rows) {
        int needed = Math.max(1, Math.min(rows, maxRows));
        Cells found = spare.poll();
        if (found != null && found.capacity >= needed) {
            return found;
        }
        int capacity = Math.min(maxRows, Integer.highestOneBit(needed) << (Integer.bitCount(needed) > 1 ? 1 : 0));
        return new Cells(inputs, capacity, model.callRows());
    }
}
