"""A program that runs beside us, under a guard that stops it when we are gone.

``subprocess`` alone leaves a child running when its parent is killed. See ``guard.py`` for how, and
for why it is a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.processes.accounts import Account

_GUARD = Path(__file__).with_name("guard.py")
_LOG_TAIL_BYTES = 4000
#: What the guard needs beyond the program's own grace to kill it and to end.
_GUARD_GRACE = 5.0

_alive: weakref.WeakSet[Child] = weakref.WeakSet()


class Child:
    """A running program.

    Args:
        argv: The program and its arguments. No shell is involved, so spaces need no care.
        env: Its whole environment; ours if None.
        cwd: Its working directory.
        log: A file that its output is appended to. Without one it writes to our stderr.
        stop_signal: What asks it to stop.
        grace: Seconds that it may take to stop before it is killed.
        account: Run it as this user. Only root can.
        keep_open: Descriptors that it inherits, such as a lock to be held for as long as it lives.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
        account: Account | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.log = log
        self._grace = grace
        report, report_end = os.pipe()
        spec: dict[str, Any] = {
            "argv": [str(part) for part in argv],
            "cwd": str(cwd or Path.cwd()),
            "uid": account.uid if account else None,
            "gid": account.gid if account else None,
            "signal": int(stop_signal),
            "grace": grace,
            "report": report_end,
        }
        with contextlib.ExitStack() as files:
            output: Any = 2  # our stderr
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = files.enter_context(log.open("ab"))
            self._guard = subprocess.Popen(  # noqa: S603 (our own file, and a list)
                [sys.executable, "-I", "-S", str(_GUARD), json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                pass_fds=(report_end, *keep_open),
                # Its own session: Ctrl-C in the terminal must reach us alone, we stop it in order.
                start_new_session=True,
            )
        os.close(report_end)
        with os.fdopen(report) as lines:
            self.pid = int(lines.readline().strip() or 0)
        _alive.add(self)

    def poll(self) -> int | None:
        """Its exit code, or None while it runs. A death by signal N is 128 + N."""
        return self._guard.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        return self._guard.wait(timeout)

    def stop(self) -> int:
        """Ask it to stop, kill it if it does not within its grace, and wait. Its exit code."""
        self._close_pipe()
        try:
            code = self._guard.wait(self._grace + _GUARD_GRACE)
        except subprocess.TimeoutExpired:
            # The guard itself hangs; what it guards dies with it.
            self._guard.kill()
            code = self._guard.wait()
        _alive.discard(self)
        return code

    def kill(self) -> None:
        """End it now, without asking."""
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(b"k")
                self._guard.stdin.flush()
        self.stop()

    def log_tail(self, since: int = 0) -> str:
        """The end of what it wrote into its log, from byte ``since`` on at most."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    def _close_pipe(self) -> None:
        if self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()


def wait_until_gone(pid: int, timeout: float) -> bool:
    """Whether the process has ended within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        time.sleep(0.05)
    return False


@atexit.register
def _stop_all() -> None:
    for child in list(_alive):
        child.stop()
