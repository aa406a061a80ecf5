"""Stands between us and a server that we start, so that the server never outlives us.

Run as a script, by path, in an isolated interpreter: it imports the standard library only, and it
holds one thread, so that forking and changing the user in it are safe. Why a process of its own:

* Its standard input is a pipe from us. However we die, SIGKILL included, the pipe ends, and the
  guard stops the server in the server's own way (Postgres gets its fast shutdown, not a crash).
* Linux's "signal at the parent's death" alone would not do: it fires when the *thread* that started
  the child ends, and is forgotten when the child changes its user. Here it is the second line,
  for the case that the guard itself is killed.
* macOS has no such signal; the pipe works there too.

Its one argument is a JSON object: ``argv``, ``cwd``, ``uid``, ``gid``, ``signal``, ``grace`` in
seconds, and ``report``, the descriptor on which the server's process id is written. On its standard
input ``k`` means kill now, and the end means stop.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG = 1
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _become_server(spec: dict[str, Any], guard: int) -> None:
    """In the forked child: change the user, tie our life to the guard's, and run the program."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, servers need not
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.chdir(spec["cwd"])
    if spec["uid"] is not None:
        os.setgroups([])
        os.setgid(spec["gid"])
        os.setuid(spec["uid"])
    if sys.platform == "linux":
        # After setuid: the kernel forgets the wish when the user changes.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, spec["signal"])
        if os.getppid() != guard:
            os._exit(1)
    os.execvp(spec["argv"][0], spec["argv"])  # noqa: S606 (a list, no shell: the point of it)


def _start(spec: dict[str, Any]) -> int:
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become_server(spec, guard)
        except OSError as error:
            os.write(2, f"cannot run {spec['argv'][0]}: {error}\n".encode())
        finally:
            os._exit(127)
    return child


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def _watch(child: int, wake: int, spec: dict[str, Any]) -> int:
    """Wait for the server's end, or bring it about. The result is its wait status."""
    deadline: float | None = None
    sources = [0, wake]
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(sources, [], [], left)
        stop = False
        if wake in ready:
            stop = any(number in _STOP_SIGNALS for number in os.read(wake, 64))
        if 0 in ready:
            order = os.read(0, 64)
            stop = True
            if not order:
                sources.remove(0)
            elif b"k" in order:
                deadline = 0.0
        if stop and deadline is None:
            os.kill(child, spec["signal"])
            deadline = time.monotonic() + spec["grace"]
        elif deadline is not None and time.monotonic() >= deadline:
            _kill_group(child)
            deadline = time.monotonic() + 1.0


def main() -> int:
    """Run the server until it ends or we are told to end it. Returns its exit code."""
    spec = json.loads(sys.argv[1])
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_STOP_SIGNALS):
        signal.signal(number, lambda *_: None)
    child = _start(spec)
    with contextlib.suppress(BrokenPipeError):
        os.write(spec["report"], f"{child}\n".encode())
    os.close(spec["report"])
    status = _watch(child, wake, spec)
    _kill_group(child)  # whatever the server itself left behind
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
