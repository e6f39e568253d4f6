"""The command line: words to calls, errors to one message and an exit code.

Rule: nothing is decided here, and no traceback reaches a user. Every command loads what it needs inside its
function, so that ``--help`` answers at once. Results go to stdout, everything else to stderr.

Exit codes: 0 done; 1 failed, or the reader of our output went away; 2 wrong usage; 70 a bug of ours; 78 a bad
configuration; 130 interrupted by Ctrl-C.
"""

from stream_infer.cli.entry import main

__all__ = ["main"]
