package io.github.streaminfer.scorer;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.Arrays;

/** The cells of one input, row-major, in memory that ONNX Runtime reads itself. For one thread at a time. */
abstract class InputCells {
    final InputSpec input;

    private InputCells(InputSpec input) {
        this.input = input;
    }

    /** Room for so many rows. */
    static InputCells allocate(InputSpec input, int rows) {
        int cells = Math.multiplyExact(rows, input.width);
        switch (input.type) {
            case FLOAT32:
                return new Floats(input, bytes(cells, Float.BYTES).asFloatBuffer());
            case FLOAT64:
                return new Doubles(input, bytes(cells, Double.BYTES).asDoubleBuffer());
            case INT64:
                return new Longs(input, bytes(cells, Long.BYTES).asLongBuffer());
            default:
                return new Texts(input, new String[cells]);
        }
    }

    /** A number, cast once. Never for text. */
    abstract void put(int row, int column, double number);

    /** An integer, which never passes through a float in an int64 cell. Never for text. */
    abstract void put(int row, int column, long number);

    /** Text. Only for a string input. */
    void put(int row, int column, String text) {
        throw new IllegalStateException("a number's cell takes no text");
    }

    /** Copies a row. */
    abstract void copy(int from, int to);

    /** A tensor over rows {@code start} to {@code start + rows}, to be closed. */
    abstract OnnxTensor tensor(OrtEnvironment environment, int start, int rows) throws OrtException;

    /** What stands in for a missing value. */
    final void putConstant(int row, int column, Object value) {
        if (value instanceof String) {
            put(row, column, (String) value);
        } else if (value instanceof BigInteger && input.type == CellType.INT64) {
            put(row, column, ((BigInteger) value).longValueExact());
        } else if (input.type == CellType.INT64) {
            put(row, column, ((Number) value).longValue());
        } else {
            put(row, column, ((Number) value).doubleValue());
        }
    }

    private static ByteBuffer bytes(int cells, int bytesEach) {
        return ByteBuffer.allocateDirect(Math.multiplyExact(cells, bytesEach)).order(ByteOrder.nativeOrder());
    }

    final int at(int row, int column) {
        return row * input.width + column;
    }

    /** Of a float32 input. */
    static final class Floats extends InputCells {
        private final FloatBuffer cells;

        private Floats(InputSpec input, FloatBuffer cells) {
            super(input);
            this.cells = cells;
        }

        /** Rows as they are. */
        void putRows(float[] from, int firstRow, int rows) {
            cells.duplicate().put(from, firstRow * input.width, rows * input.width);
        }

        @Override
        void put(int row, int column, double number) {
            cells.put(at(row, column), (float) number);
        }

        @Override
        void put(int row, int column, long number) {
            cells.put(at(row, column), (float) (double) number);
        }

        @Override
        void copy(int from, int to) {
            for (int column = 0; column < input.width; column++) {
                cells.put(at(to, column), cells.get(at(from, column)));
            }
        }

        @Override
        OnnxTensor tensor(OrtEnvironment environment, int start, int rows) throws OrtException {
            FloatBuffer part = cells.duplicate();
            part.position(at(start, 0)).limit(at(start + rows, 0));
            return OnnxTensor.createTensor(environment, part.slice(), input.shapeOf(rows));
        }
    }

    private static final class Doubles extends InputCells {
        private final DoubleBuffer cells;

        private Doubles(InputSpec input, DoubleBuffer cells) {
            super(input);
            this.cells = cells;
        }

        @Override
        void put(int row, int column, double number) {
            cells.put(at(row, column), number);
        }

        @Override
        void put(int row, int column, long number) {
            cells.put(at(row, column), number);
        }

        @Override
        void copy(int from, int to) {
            for (int column = 0; column < input.width; column++) {
                cells.put(at(to, column), cells.get(at(from, column)));
            }
        }

        @Override
        OnnxTensor tensor(OrtEnvironment environment, int start, int rows) throws OrtException {
            DoubleBuffer part = cells.duplicate();
            part.position(at(start, 0)).limit(at(start + rows, 0));
            return OnnxTensor.createTensor(environment, part.slice(), input.shapeOf(rows));
        }
    }

    private static final class Longs extends InputCells {
        private final LongBuffer cells;

        private Longs(InputSpec input, LongBuffer cells) {
            super(input);
            this.cells = cells;
        }

        @Override
        void put(int row, int column, double number) {
            cells.put(at(row, column), (long) number);
        }

        @Override
        void put(int row, int column, long number) {
            cells.put(at(row, column), number);
        }

        @Override
        void copy(int from, int to) {
            for (int column = 0; column < input.width; column++) {
                cells.put(at(to, column), cells.get(at(from, column)));
            }
        }

        @Override
        OnnxTensor tensor(OrtEnvironment environment, int start, int rows) throws OrtException {
            LongBuffer part = cells.duplicate();
            part.position(at(start, 0)).limit(at(start + rows, 0));
            return OnnxTensor.createTensor(environment, part.slice(), input.shapeOf(rows));
        }
    }

    private static final class Texts extends InputCells {
        private final String[] cells;

        private Texts(InputSpec input, String[] cells) {
            super(input);
            this.cells = cells;
        }

        @Override
        void put(int row, int column, double number) {
            throw new IllegalStateException("a cell of text takes no number");
        }

        @Override
        void put(int row, int column, long number) {
            throw new IllegalStateException("a cell of text takes no number");
        }

        @Override
        void put(int row, int column, String text) {
            cells[at(row, column)] = text;
        }

        @Override
        void copy(int from, int to) {
            System.arraycopy(cells, at(from, 0), cells, at(to, 0), input.width);
        }

        @Override
        OnnxTensor tensor(OrtEnvironment environment, int start, int rows) throws OrtException {
            String[] part = Arrays.copyOfRange(cells, at(start, 0), at(start + rows, 0));
            return OnnxTensor.createTensor(environment, part, input.shapeOf(rows));
        }
    }
}
