/** From bytes to records and from scores to bytes: what the modules for Kafka Streams and Flink have in common. */
package io.github.streaminfer.scorer.event;
