"""The process of one side: reads orders from stdin, a JSON object a line, and answers each.

``python -m bench.child SIDE TEMPORAL DATABASE`` says ``{"ready": true}`` first. An order is
``{"mode": …, "runs": …, "at_once": …}``, its answer ``{"seconds": …, "cpu": …, "events": …}``;
the worker and the client that starts the runs share the process, on every side.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import pstats
import sys
import time
from typing import TYPE_CHECKING, Any

from bench.chain import wanted
from bench.sides.side import Place

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from bench.sides.side import Side

#: Seconds between two runs that come one after the other, which are not counted. A worker that has
#: just answered Temporal is found again only some 50 ms later, or at once, as it happens.
_PAUSE = 0.1


def _side(name: str, place: Place) -> AbstractAsyncContextManager[Side]:
    # Each process loads what its own side needs, and nothing of the others.
    if name == "dbos":
        from bench.sides import dbos  # noqa: PLC0415

        return dbos.serve(place)
    if name == "handwritten":
        from bench.sides import handwritten  # noqa: PLC0415

        return handwritten.serve(place)
    from bench.sides import steploom  # noqa: PLC0415

    return steploom.serve(place, recording=name == "on")


async def _measure(side: Side, order: dict[str, Any]) -> dict[str, Any]:
    """Does what is ordered.

    Raises:
        RuntimeError: A run did not end with what it had to.
    """
    free = asyncio.Semaphore(order["at_once"])
    mode, last = order["mode"], ""
    paused = 0.0

    async def one(number: int) -> None:
        nonlocal last, paused
        async with free:
            done = await side.run(mode, number)
            if order["at_once"] == 1:
                before = time.perf_counter()
                await asyncio.sleep(_PAUSE)
                paused += time.perf_counter() - before
        if done.result != wanted(number):
            raise RuntimeError(f"run {number} ended with {done.result}")
        last = done.execution

    profile = cProfile.Profile() if order.get("profile") else None
    began, used = time.perf_counter(), time.process_time()
    if profile is not None:
        profile.enable()
    await asyncio.gather(*map(one, range(order["runs"])))
    if profile is not None:
        profile.disable()
    seconds, cpu = time.perf_counter() - began - paused, time.process_time() - used
    if profile is not None:
        stats = pstats.Stats(profile, stream=sys.stderr)
        stats.sort_stats("tottime").print_stats(45)
        stats.sort_stats("cumtime").print_stats(90)
    return {"seconds": seconds, "cpu": cpu, "events": await side.events(last)}


async def _serve(name: str, place: Place) -> None:
    loop = asyncio.get_running_loop()
    # Answers alone go to stdout; whatever a library prints is for the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    async with _side(name, place) as side:
        say({"ready": True})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            say(await _measure(side, json.loads(line)))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], Place(sys.argv[2], sys.argv[3])))
    sys.stderr.flush()
    # Everything is closed; the interpreter's own end has nothing to add.
    os._exit(0)
