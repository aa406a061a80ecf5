"""What is due or holds at the same instant goes on in the order of its numbers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from worker.ordered_waits import OrderedWaits

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """The time that the waits are told."""

    def __init__(self) -> None:
        self.now = START


class Bench:
    """Waits whose ends are noted in the order in which they come."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.waits = OrderedWaits(lambda: self.clock.now, lambda due, _: due - self.clock.now)
        self.holds: set[int] = set()
        self.ended: list[tuple[int, bool]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def wait(self, seq: int, seconds: float | None = None, *, condition: bool = False) -> None:
        """Begins to wait."""
        self.tasks.append(asyncio.create_task(self._wait(seq, seconds, condition)))

    async def _wait(self, seq: int, seconds: float | None, condition: bool) -> None:
        due = None if seconds is None else START + timedelta(seconds=seconds)
        held = await self.waits.until(
            (lambda: seq in self.holds) if condition else None, due, seq=seq
        )
        self.ended.append((seq, held))

    async def rest(self) -> list[tuple[int, bool]]:
        """What has ended by now, once nothing moves."""
        for _ in range(10):
            await asyncio.sleep(0)
        return self.ended


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
async def test_waits_for_one_instant_end_in_the_order_of_their_numbers(
    order: tuple[int, ...],
) -> None:
    """Whichever of them was begun first, and whichever timer fires first."""
    bench = Bench()
    bench.waits.release()
    for seq in order:
        bench.wait(seq, 0.02)
    await bench.rest()
    bench.clock.now = START + timedelta(seconds=0.02)
    await asyncio.gather(*bench.tasks)
    assert bench.ended == [(1, False), (2, False), (3, False)]


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
async def test_conditions_that_come_to_hold_end_in_the_order_of_their_numbers(
    order: tuple[int, ...],
) -> None:
    """What holds goes on, what does not waits on."""
    bench = Bench()
    bench.waits.release()
    for seq in (*order, 4):
        bench.wait(seq, condition=True)
    await bench.rest()
    bench.holds |= {1, 2, 3}
    bench.waits.look()
    assert await bench.rest() == [(1, True), (2, True), (3, True)]
    bench.tasks[-1].cancel()


async def test_nothing_ends_before_the_release() -> None:
    """Then what came from outside goes first, what is due next, the earlier one before the later.

    So a run that was taken up goes on as if it had never been away.
    """
    bench = Bench()
    bench.clock.now = START + timedelta(seconds=10)
    bench.holds = {4, 5}
    bench.wait(3, 9)
    bench.wait(2, 10)
    bench.wait(1, 10)
    bench.wait(5, condition=True)
    bench.wait(4, 1, condition=True)
    bench.wait(6, 1000)
    bench.waits.look()
    assert await bench.rest() == []
    bench.waits.release()
    assert await bench.rest() == [(4, True), (5, True), (3, False), (1, False), (2, False)]
    bench.waits.release()
    bench.tasks[-1].cancel()


async def test_what_holds_in_the_moment_in_which_it_is_due_is_said_to_hold() -> None:
    """A decision in the last moment counts."""
    bench = Bench()
    bench.waits.release()
    bench.wait(1, 0.01, condition=True)
    await bench.rest()
    bench.holds.add(1)
    bench.clock.now = START + timedelta(seconds=1)
    await asyncio.gather(*bench.tasks)
    assert bench.ended == [(1, True)]


async def test_a_wait_that_is_over_already_does_not_begin() -> None:
    """After the release: neither what holds nor what is past is waited for."""
    bench = Bench()
    bench.waits.release()
    bench.holds = {1}
    bench.wait(1, 1000, condition=True)
    bench.wait(2, -1)
    bench.wait(3, 0)
    assert await bench.rest() == [(1, True), (2, False), (3, False)]


async def test_a_timer_that_fires_a_little_early_is_on_time() -> None:
    """The clock of a workflow may stand a hair before the timer's due time."""
    bench = Bench()
    bench.waits.release()
    bench.wait(1, 0.01)
    bench.wait(2, 0.01)
    await asyncio.wait_for(asyncio.gather(*bench.tasks), 30)
    assert bench.ended == [(1, False), (2, False)]


async def test_a_wait_that_is_cancelled_is_forgotten() -> None:
    """Nobody is woken for it, before the release or after."""
    bench = Bench()
    bench.wait(1, 0.01, condition=True)
    bench.wait(2, condition=True)
    await bench.rest()
    bench.tasks[0].cancel()
    await bench.rest()
    bench.waits.release()
    bench.holds = {1, 2}
    bench.waits.look()
    bench.waits.look()
    assert await bench.rest() == [(2, True)]
