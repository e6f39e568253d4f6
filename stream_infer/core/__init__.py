"""Pure decisions of the line: values and ``now`` in, values out.

Rule: nothing here reads a clock, does I/O, starts a thread, logs, counts or draws a random number.
"""
