"""Children and scopes: nothing is left behind, everything happens in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from worker.interpreter.children import Children, Scope, bounded
from worker.rehearsal.loop import Stuck, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine on the virtual clock."""
    loop = VirtualLoop()  # type: ignore[abstract]  # what is abstract are sockets and processes
    return loop.run(main, on_idle=lambda: False, waits=lambda: "nothing")


async def _sleep(seconds: float, told: list[str], name: str) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        told.append(f"{name} cancelled")
        raise
    told.append(name)
    return name


def test_children_are_awaited_in_the_order_in_which_they_end() -> None:
    """Not in the order in which they began, and never as a set."""

    async def main() -> list[str]:
        ended = []
        async with Children[str](Scope()) as children:
            for seconds, name in ((3, "c"), (1, "a"), (2, "b"), (1, "a2")):
                children.spawn(_sleep(seconds, [], name), children.scope(), name=name)
            while len(children):
                ended.append((await children.next_done()).result())
        return ended

    assert run(main()) == ["a", "a2", "b", "c"]


def test_whatever_still_runs_at_the_end_is_cancelled_in_order_and_awaited() -> None:
    """An error in the block reaches the caller after the last child has ended."""
    told: list[str] = []

    async def main() -> None:
        async with Children[str](Scope()) as children:
            for name in ("b", "a", "c"):
                children.spawn(_sleep(5, told, name), children.scope(), name=name)
            await asyncio.sleep(1)
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        run(main())
    assert told == ["b cancelled", "a cancelled", "c cancelled"]


def test_a_cancel_while_children_end_is_not_lost() -> None:
    """Children that take their time to end are awaited, then the cancel goes up."""
    told: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(5)
            told.append("ended")

    async def parent() -> None:
        async with Children[None](Scope()) as children:
            children.spawn(slow(), children.scope(), name="slow")
            await asyncio.sleep(1)

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(parent())
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert told == ["ended"]


def test_a_child_that_ends_well_although_cancelled_finds_its_scope_cancelled() -> None:
    """Its own flag tells it to stop, when asyncio's cancellation was used up by something else."""
    outer = Scope()
    inner = Scope(outer)
    inner.check()
    outer.cancel()
    assert inner.cancelled
    with pytest.raises(asyncio.CancelledError):
        inner.check()
    sibling = Scope()
    Scope(sibling).cancel()
    assert not sibling.cancelled


@pytest.mark.parametrize(("seconds", "expected"), [(1, (True, "work")), (9, (False, None))])
def test_bounded_work_ends_in_time_or_is_cancelled(seconds: int, expected: object) -> None:
    """Work that is out of time is cancelled and awaited."""
    told: list[str] = []

    async def main() -> object:
        scope = Scope()
        work = _sleep(seconds, told, "work")
        return await bounded(scope, work, Scope(scope), asyncio.sleep(5), name="work")

    assert run(main()) == expected
    assert told == (["work"] if seconds == 1 else ["work cancelled"])


def test_a_run_that_nothing_can_wake_says_so() -> None:
    """Instead of hanging, as a loop with a real clock would."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="nothing"):
        run(main())


async def test_the_virtual_loop_runs_inside_a_loop_that_runs() -> None:
    """It gives way to the loop of the test again, and to its task."""
    outer, task = asyncio.get_running_loop(), asyncio.current_task()
    assert run(_sleep(3600, [], "an hour")) == "an hour"
    assert asyncio.get_running_loop() is outer
    assert asyncio.current_task() is task
    await asyncio.sleep(0)


def test_an_exception_in_a_callback_is_not_swallowed() -> None:
    """A bug in a callback ends the run instead of stopping it silently."""

    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 // 0)
        await asyncio.sleep(5)

    with pytest.raises(ZeroDivisionError):
        run(main())
