"""What a run waits for on Temporal, woken in the order of the operations' sequence numbers.

The SDK wakes conditions in the order in which they were registered, and timers in that of their
events. Both change when a run is taken up after continue-as-new: its coroutines come to their waits
in the order of the definition's structure. Here the numbers decide, which the state has kept.

Runs inside the workflow: an asyncio timer is a durable timer there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


@dataclass(slots=True, eq=False)
class _Wait:
    seq: int
    condition: Callable[[], bool] | None
    due: datetime | None
    future: asyncio.Future[bool]
    timer: asyncio.TimerHandle | None = None

    def wake(self, held: bool) -> None:
        if not self.future.done():
            self.future.set_result(held)

    @property
    def holds(self) -> bool:
        return self.condition is not None and self.condition()


class OrderedWaits:
    """The waits of one run. Until ``release``, everything is held, so that all can come first.

    Args:
        now: The run's time.
        timer: How long the timer of an operation has to be that is due then.
    """

    def __init__(
        self, now: Callable[[], datetime], timer: Callable[[datetime, int], timedelta]
    ) -> None:
        self._now = now
        self._timer = timer
        self._held = True
        self._waits: list[_Wait] = []

    async def until(
        self, condition: Callable[[], bool] | None, due: datetime | None, *, seq: int
    ) -> bool:
        """Returns True when the condition holds, False when it is due."""
        if not self._held:
            if condition is not None and condition():
                return True
            if due is not None and due <= self._now():
                return False
        wait = _Wait(seq, condition, due, asyncio.get_running_loop().create_future())
        self._waits.append(wait)
        self._waits.sort(key=_seq)
        try:
            if not self._held:
                self._arm(wait)
            return await wait.future
        finally:
            self._waits.remove(wait)
            if wait.timer is not None:
                wait.timer.cancel()

    def release(self) -> None:
        """Lets everything go on that was held, in order."""
        if not self._held:
            return
        self._held = False
        # What came from outside goes first, then what is due, then whatever is still to come.
        self.look()
        self._wake_due(self._now())
        for wait in list(self._waits):
            if not wait.future.done():
                self._arm(wait)

    def look(self) -> None:
        """Wakes whatever waits for a condition that holds now."""
        if self._held:
            return
        for wait in list(self._waits):
            if not wait.future.done() and wait.holds:
                wait.wake(held=True)

    def _arm(self, wait: _Wait) -> None:
        if wait.due is None:
            return
        if wait.due <= self._now():
            wait.wake(held=False)
            return
        length = self._timer(wait.due, wait.seq).total_seconds()
        wait.timer = asyncio.get_running_loop().call_later(length, self._ring, wait)

    def _ring(self, rung: _Wait) -> None:
        """A timer has fired: whatever comes before it goes on first."""
        due = [(wait.due, wait.seq, wait) for wait in self._waits if wait.due is not None]
        for _, _, wait in sorted(due, key=_order):
            wait.wake(held=wait.holds)
            if wait is rung:
                break

    def _wake_due(self, until: datetime) -> None:
        due = [(wait.due, wait.seq, wait) for wait in self._waits if wait.due is not None]
        for moment, _, wait in sorted(due, key=_order):
            if moment <= until:
                wait.wake(held=wait.holds)


def _seq(wait: _Wait) -> int:
    return wait.seq


def _order(entry: tuple[datetime, int, _Wait]) -> tuple[datetime, int]:
    return entry[:2]
