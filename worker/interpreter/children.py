"""Children of a coroutine: started in order, awaited in order of completion, never left behind.

``asyncio.TaskGroup`` keeps its tasks in a set and cancels them in its order, and ``asyncio.wait``
returns sets: neither is deterministic on replay. Here children are a list.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

T = TypeVar("T")


class Scope:
    """Whether work has been told to stop.

    Kept beside asyncio's own cancellation because a task that was cancelled can still end well: its
    coroutine then goes on as if nothing had been said, and must ask.
    """

    __slots__ = ("_cancelled", "_parent")

    def __init__(self, parent: Scope | None = None) -> None:
        self._parent = parent
        self._cancelled = False

    def cancel(self) -> None:
        """Tells everything in this scope to stop."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether this scope, or one around it, was told to stop."""
        return self._cancelled or (self._parent is not None and self._parent.cancelled)

    def check(self) -> None:
        """Raises ``asyncio.CancelledError`` when the work was told to stop."""
        if self.cancelled:
            raise asyncio.CancelledError


class Children(Generic[T]):
    """An async context: whatever still runs when it ends is cancelled, in order, and awaited."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._running: list[tuple[asyncio.Task[T], Scope]] = []
        self._done: deque[asyncio.Task[T]] = deque()
        self._wake: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Children[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is GeneratorExit:
            # The run was dropped, by its worker's cache: there is no loop to await anything on.
            return
        for task, scope in list(self._running):
            scope.cancel()
            task.cancel()
        cancelled = False
        while self._running:
            try:
                await self._next()
            except asyncio.CancelledError:
                # Our own cancellation while the children end: they are awaited all the same.
                cancelled = True
        if cancelled and kind is None:
            raise asyncio.CancelledError

    def __len__(self) -> int:
        return len(self._running) + len(self._done)

    def spawn(self, work: Coroutine[Any, Any, T], scope: Scope, *, name: str) -> asyncio.Task[T]:
        """Starts a child.

        Args:
            work: What it does.
            scope: Its own scope, below the one of these children.
            name: Where it stands in the definition: the same whenever the run is taken up again,
                and no other's at the time. It shows in stack traces, and tells a host which
                operation is which.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.append((task, scope))
        task.add_done_callback(self._on_done)
        return task

    def scope(self) -> Scope:
        """A new scope for one child."""
        return Scope(self._scope)

    async def next_done(self) -> asyncio.Task[T]:
        """The child that ended next. The caller asks it for its result."""
        while not self._done:
            await self._next()
        return self._done.popleft()

    async def _next(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def _on_done(self, task: asyncio.Task[T]) -> None:
        self._running = [entry for entry in self._running if entry[0] is not task]
        if not task.cancelled():
            task.exception()  # Marks it as seen; who wants the result still gets it.
        self._done.append(task)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


async def bounded(
    scope: Scope,
    work: Coroutine[Any, Any, T],
    work_scope: Scope,
    timer: Coroutine[Any, Any, None],
    *,
    name: str,
) -> tuple[bool, T | None]:
    """Runs work until a timer ends: ``(True, result)``, or ``(False, None)`` when the time was up.

    Work that is out of time is cancelled and awaited before this returns.
    """
    async with Children[Any](scope) as children:
        task = children.spawn(work, work_scope, name=name)
        children.spawn(timer, children.scope(), name=f"{name} in time")
        first = await children.next_done()
        if first is task:
            return True, first.result()
    return False, None
