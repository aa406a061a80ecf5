"""A deterministic event loop with a virtual clock.

The same idea as the loop that Temporal's SDK runs workflows on: callbacks in the order in which
they came, no threads, no sockets, and a clock that is told what time it is. Here it jumps to the
next timer as soon as nothing else can happen: a workflow of a month is rehearsed in milliseconds.

Time is counted in whole microseconds: floats would make ties a matter of rounding.
"""

from __future__ import annotations

import asyncio
from asyncio.events import _get_running_loop, _set_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import TypeVarTuple, override

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator
    from contextvars import Context

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Of what is due at the same instant, what comes from outside goes first.
OUTSIDE, INSIDE = 0, 1


class Stuck(Exception):  # noqa: N818 (it names the run's situation, as asyncio's own names do)
    """Nothing can wake the run any more. The message names what it waits for."""


class Alarm:
    """Something to do at a time. ``cancel`` makes it never happen."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Does nothing when it happened already."""
        self.action = None


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs one coroutine to its end; also inside a test that runs in a loop of its own.

    Only what pure asyncio code needs is here: ``asyncio.sleep``, futures and tasks work, anything
    that would reach out of the process raises ``NotImplementedError``.
    """

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._alarms: list[tuple[int, int, int, int, Alarm]] = []
        self._count = 0
        self._now = 0
        #: How often everything has come to rest.
        self.rests = 0
        self._escaped: BaseException | None = None

    @property
    def microseconds(self) -> int:
        """The virtual time since this loop was made."""
        return self._now

    @property
    def idle(self) -> bool:
        """Whether no callback is waiting to be run: whoever asks is the only one in motion."""
        return not self._ready

    def set_alarm(
        self, when: int, action: Callable[[], None], *, rank: int = INSIDE, order: int = 0
    ) -> Alarm:
        """Does something at a time in microseconds (now, when that is past).

        Of alarms for the same instant the one with the lower rank goes first, then the one with
        the lower order, then the one that was set first.
        """
        alarm = Alarm(action)
        self._count += 1
        heappush(self._alarms, (max(when, self._now), rank, order, self._count, alarm))
        return alarm

    def run(
        self, main: Coroutine[Any, Any, T], *, on_idle: Callable[[], bool], waits: Callable[[], str]
    ) -> T:
        """Runs ``main`` to its end and returns its result.

        Args:
            main: The coroutine.
            on_idle: Called whenever nothing is ready, before the clock moves; returns whether it
                made anything ready.
            waits: Says what is waited for, for the error's message.

        Raises:
            Stuck: Neither ``on_idle`` nor an alarm can wake anything.
        """
        with self.running():
            task = self.create_task(main)
            try:
                while not task.done():
                    self.run_ready()
                    self.rests += 1
                    if not task.done() and not on_idle() and not self.advance():
                        raise Stuck(waits())
            finally:
                # Whatever ended this early, no coroutine is left behind.
                if not task.done():
                    task.cancel()
                    self.run_ready()
            return task.result()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Makes this the running loop, whichever one was; gives way to that again at the end."""
        before = _get_running_loop()
        task = asyncio.current_task(before) if before is not None else None
        if before is not None and task is not None:
            _leave_task(before, task)
        _set_running_loop(self)
        try:
            yield
        finally:
            _set_running_loop(before)
            if before is not None and task is not None:
                _enter_task(before, task)

    def run_ready(self) -> None:
        """Runs callbacks until none is ready."""
        ready = self._ready
        while ready:
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 (how every event loop runs a handle)
        if self._escaped is not None:
            escaped, self._escaped = self._escaped, None
            raise escaped

    def advance(self) -> bool:
        """Lets the next alarm ring, moving the clock to it; returns whether there was one."""
        while self._alarms:
            when, _, _, _, alarm = heappop(self._alarms)
            if alarm.action is not None:
                self._now = when
                action, alarm.action = alarm.action, None
                action()
                return True
        return False

    # What asyncio asks of a loop.

    @override
    def time(self) -> float:
        return self._now / 1_000_000

    @override
    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    @override
    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    @override
    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.set_alarm(round(when * 1_000_000), lambda: self._ready.append(handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio tells; the handle is passed over when it rings."""

    @override
    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    @override
    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # A callback that raised is a bug of ours; nothing goes on as if it had not.
        self._escaped = context.get("exception") or RuntimeError(str(context.get("message")))

    @override
    def get_debug(self) -> bool:
        return False

    @override
    def is_running(self) -> bool:
        return True

    @override
    def is_closed(self) -> bool:
        return False
