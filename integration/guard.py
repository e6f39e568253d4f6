"""Runs one command whose life is tied to ours: ``python guard.py COMMAND ...``.

Rule: the command ends when our standard input ends. The starter holds the other end of that pipe, so whatever
becomes of it (Ctrl-C, SIGKILL, a crash) no broker is left behind. The command's process id is the first line
written; our exit code is the command's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def main() -> int:
    """Run the command, tell its process id, and wait for it."""
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr) as child:
        print(child.pid, flush=True)
        threading.Thread(target=_stop_with_starter, args=(child,), daemon=True).start()
        return child.wait()


def _stop_with_starter(child: subprocess.Popen[bytes]) -> None:
    # Not sys.stdin: its lock, held by a thread that waits, makes the interpreter abort when the command ends first.
    while os.read(0, 1):
        pass
    child.terminate()


if __name__ == "__main__":
    sys.exit(main())
