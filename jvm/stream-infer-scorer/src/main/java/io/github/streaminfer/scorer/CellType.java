package io.github.streaminfer.scorer;

import java.util.Locale;

/** What the cells of a tensor are. */
enum CellType {
    FLOAT32,
    FLOAT64,
    INT64,
    STRING;

    /** As {@code bundle.json} spells it. */
    String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    boolean isFloat() {
        return this == FLOAT32 || this == FLOAT64;
    }

    /** The type of a label; null for another word. */
    static CellType of(String label) {
        for (CellType type : values()) {
            if (type.label().equals(label)) {
                return type;
            }
        }
        return null;
    }
}
