/**
 * Model bundles of stream_infer on the JVM: what is in one, whether it is whole, and what a field of an event means.
 */
package io.github.streaminfer.scorer;
