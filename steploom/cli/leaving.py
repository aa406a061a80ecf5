"""How a process of ours ends.

Temporal's library runs threads of its own. One that touches Python just while the interpreter is
being taken apart aborts the process (``PyGILState_Release``, exit code 134), after all work was
done: seen on temporalio 1.35 with CPython 3.11, in about one of ten commands. So where that library
was loaded, the interpreter is not taken apart: what must happen at the exit is done, everything is
flushed, and the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

_THREADED = "temporalio.bridge.temporal_sdk_bridge"


def leave(code: int) -> NoReturn:
    """Ends this process."""
    if _THREADED not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001 (there is no public way; children are stopped there)
    for stream in (sys.stdout, sys.stderr):
        # A reader that went away is no reason to end in another way.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
