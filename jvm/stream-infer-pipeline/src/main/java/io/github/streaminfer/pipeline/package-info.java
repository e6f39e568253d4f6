/**
 * The config of stream_infer, and the way from a record of an input topic to what is published about it: what all
 * engines share. An engine brings records and carries the answers away, with its own guarantees.
 */
package io.github.streaminfer.pipeline;
