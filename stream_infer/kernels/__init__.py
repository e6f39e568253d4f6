"""Kernels: the loops over every event, compiled to machine code.

Rule: a kernel takes arrays and fills arrays. It makes no Python object, takes no lock, knows no type of this package,
and so runs without the GIL. What its numbers mean is said by the room that calls it: the tables it walks are made in
`stream_infer.codecs`, `stream_infer.scoring` and `stream_infer.kafka`.

1. Memory is not checked by the machine, so every index is checked by the kernel, or proven by what made its tables.
   Each kernel is also run as plain Python in the tests, where numpy checks every index.
2. A kernel calls only kernels of its own file: compiled code is kept on disk per file, and a change in another file
   would not be noticed.
3. Nothing depends on the machine's floating point: no fast-math, no fused operations, no reordering.
"""
