/**
 * Scores events with the model bundles of stream_infer, inside a JVM.
 *
 * <p>{@link io.github.streaminfer.scorer.Scorer} loads a bundle, proves that the model answers here as it did when it
 * was exported, and scores batches of Avro records. A value means here what it means to stream_infer in Python, and a
 * row that cannot be scored has the same reason.
 */
package io.github.streaminfer.scorer;
