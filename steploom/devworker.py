"""The worker of ``steploom dev``: a process of its own, started again when it dies."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from adapters.processes.child import Child
from adapters.temporal.pollers import pollers
from definitions.errors import SteploomError

if TYPE_CHECKING:
    from collections.abc import Callable

    from temporalio.client import Client

    from steploom.devinfo import DevInfo
    from steploom.devoptions import DevOptions
    from worker.settings import Settings

_READY_SECONDS = 60.0
_LATELY = timedelta(minutes=1)
_LONGEST_PAUSE = 30.0
#: A worker that lived this long was well; the next pause is short again.
_LIVED_WELL_SECONDS = 60.0
#: On top of the worker's own graceful period.
_STOP_MARGIN = 5.0


class DevWorker:
    """A worker process on the servers of ``info``."""

    def __init__(
        self, info: DevInfo, settings: Settings, options: DevOptions, say: Callable[[str], None]
    ) -> None:
        self._info = info
        self._settings = settings
        self._options = options
        self._say = say
        self._child: Child | None = None
        self._pause = 1.0
        self._started = 0.0
        self._start_again: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the process, and return at once."""
        self._started = time.monotonic()
        self._start_again = None
        self._child = Child(
            [sys.executable, "-m", "steploom", "worker"],
            env=self._environment(),
            cwd=self._options.folder,
            log=self._options.worker_log,
            grace=self._settings.graceful_shutdown.total_seconds() + _STOP_MARGIN,
        )

    async def wait_until_it_polls(self, client: Client) -> None:
        """Wait until Temporal has tasks taken by it.

        Raises:
            SteploomError: It ended, or took no task for a minute.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            code = self._child.poll() if self._child else None
            if code is not None:
                raise SteploomError(
                    f"the worker ended with exit code {code} before it was ready",
                    hint=f"its reason is {self._where_it_writes()}",
                )
            names = await pollers(client, self._settings.task_queue, within=_LATELY)
            # Its identity is pid@host: others may serve the same queue of a shared server.
            if any(name.startswith(f"{self.pid}@") for name in names):
                return
            await asyncio.sleep(0.05)
        raise SteploomError(
            f"the worker took no task within {_READY_SECONDS:.0f} s",
            hint=f"see what it says {self._where_it_writes()}",
        )

    def tend(self) -> None:
        """Start it again, with growing pauses, if it has ended."""
        now = time.monotonic()
        if self._child is not None and (code := self._child.poll()) is not None:
            self._child = None
            if now - self._started > _LIVED_WELL_SECONDS:
                self._pause = 1.0
            self._say(f"the worker ended with exit code {code}; the next in {self._pause:.0f} s")
            self._start_again = now + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        if self._start_again is not None and now >= self._start_again:
            self.start()
            self._say(f"the worker runs again as process {self.pid}")

    def stop(self) -> None:
        """Let it finish what it runs, within its graceful period."""
        self._start_again = None
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _where_it_writes(self) -> str:
        return f"in {self._options.worker_log}" if self._options.worker_log else "above"

    def _environment(self) -> dict[str, str]:
        info = self._info
        tasks = [*self._settings.tasks, *self._options.tasks]
        catalogues = [*self._settings.catalogue, *self._options.catalogues]
        ours = {
            "STEPLOOM_TEMPORAL_ADDRESS": info.temporal,
            "STEPLOOM_TEMPORAL_NAMESPACE": info.namespace,
            "STEPLOOM_TEMPORAL_UI_URL": info.temporal_ui,
            "STEPLOOM_DATABASE_URL": info.database,
            "STEPLOOM_PAYLOADS": info.payloads,
            "STEPLOOM_TASKS": ",".join(dict.fromkeys(tasks)),
            "STEPLOOM_CATALOGUE": ",".join(dict.fromkeys(catalogues)),
        }
        return {**os.environ, **{name: value for name, value in ours.items() if value}}
