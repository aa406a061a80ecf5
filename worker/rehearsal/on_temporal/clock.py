"""The clock of the test server: read, stopped, and let go on.

The server counts locks. While there is one its clock goes on as any other; without one it jumps
to whatever happens next. It holds a lock itself for every workflow task and every activity that
is under way, so a time that somebody sleeps to comes only when all of those are at rest.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from temporalio.api.testservice.v1 import (
    LockTimeSkippingRequest,
    SleepRequest,
    UnlockTimeSkippingRequest,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from temporalio.client import Client

#: A call is answered when its time has come. Nobody waits that long for a test.
_PATIENCE = timedelta(days=7)
#: So short a sleep is long enough for the server to ask whether anything moves.
_MOMENT = timedelta(milliseconds=1)


class ServerClock:
    """The server's clock, which all runs share. To be made in the loop that it is used in."""

    def __init__(self, client: Client) -> None:
        self._service = client.service_client.test_service
        self._loop = asyncio.get_running_loop()
        self._background: set[asyncio.Task[None]] = set()

    async def now(self) -> datetime:
        """The server's time."""
        answer = await self._service.get_current_time(Empty(), timeout=_PATIENCE)
        return answer.time.ToDatetime(tzinfo=UTC)

    async def lock(self) -> None:
        """Takes a lock."""
        await self._service.lock_time_skipping(LockTimeSkippingRequest(), timeout=_PATIENCE)

    async def unlock(self) -> None:
        """Gives a lock back."""
        await self._service.unlock_time_skipping(UnlockTimeSkippingRequest(), timeout=_PATIENCE)

    async def sleep_until(self, due: datetime, told: asyncio.Event | None = None) -> bool:
        """Gives a lock back until a time has come, or until ``told``; returns whether it came.

        When this returns the lock is held again. Even what is due already waits until nothing
        moves.
        """
        length = max(due - await self.now(), _MOMENT)
        request = SleepRequest(duration=Duration())
        request.duration.FromTimedelta(length)
        sleep = asyncio.ensure_future(
            self._service.unlock_time_skipping_with_sleep(request, timeout=_PATIENCE)
        )
        if told is None:
            await sleep
            return True
        hears = asyncio.ensure_future(told.wait())
        await asyncio.wait({sleep, hears}, return_when=asyncio.FIRST_COMPLETED)
        hears.cancel()
        if sleep.done():
            sleep.result()
            return True
        # A sleep cannot be ended. So a lock is taken in place of the one that it gave back; that
        # one is given back again when the sleep brings it.
        await self.lock()

        async def give_back() -> None:
            await sleep
            await self.unlock()

        self.in_background(give_back())
        return False

    def in_background(self, work: Coroutine[None, None, None]) -> None:
        """Has something done that nobody waits for."""
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def lock_from_thread(self) -> None:
        """Takes a lock from a thread that is not the loop's, and returns when it is taken."""
        asyncio.run_coroutine_threadsafe(self.lock(), self._loop).result()

    def unlock_from_thread(self) -> None:
        """Gives a lock back soon."""
        self._loop.call_soon_threadsafe(lambda: self.in_background(self.unlock()))

    def set_from_thread(self, event: asyncio.Event) -> None:
        """Sets an event of the loop's."""
        self._loop.call_soon_threadsafe(event.set)

    async def close(self) -> None:
        """Forgets whoever still sleeps."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
