"""The end of a program that used the client (docs/adr/0006-leaving-the-process.md).

A thread of Temporal's library that still has to let go of an answer when Python begins to take the
interpreter apart aborts the process, after all its work was done. Unlike a command of ours, a
program of somebody else's cannot be ended by ``os._exit``: so, at its exit, those threads are given
the time that they need.
"""

from __future__ import annotations

import atexit
import time
from functools import cache
from pathlib import Path

#: Seconds between two looks; how many quiet ones are enough; and how many looks there are at most.
_PAUSE = 0.005
_QUIET = 3
_LOOKS = 200
_TASKS = Path("/proc/self/task")


@cache
def settle_at_exit() -> None:
    """Has the process wait for Temporal's threads when it ends; however often it is called."""
    atexit.register(_settle)


def _settle() -> None:
    """Returns when no other thread has anything to do.

    A thread that wants to run is seen as running, whether or not it has a processor. One that waits
    for Python's lock gets it while this sleeps. Where threads cannot be looked at: a good while.
    """
    if not _TASKS.is_dir():
        time.sleep(_PAUSE * _LOOKS / 4)
        return
    quiet = 0
    for _ in range(_LOOKS):
        time.sleep(_PAUSE)
        quiet = quiet + 1 if _others_sleep() else 0
        if quiet == _QUIET:
            return


def _others_sleep() -> bool:
    running = 0
    for task in _TASKS.iterdir():
        try:
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # It has ended meanwhile.
            continue
        running += state == "R"
    # This thread itself runs.
    return running <= 1
