"""Tasks of the workers that get killed: they take a while, each time as long as they are told."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from steploom import TaskContext, TaskError, task


class Work(BaseModel):
    """``seconds`` to work, and which attempts fail after that."""

    n: int
    seconds: float = 0.0
    failing: int = 0


async def _work(given: Work, context: TaskContext) -> dict[str, int]:
    await asyncio.sleep(given.seconds)
    if context.attempt <= given.failing:
        raise TaskError("not yet", type="NotYet")
    return {"n": given.n}


@task("faults.remote")
async def remote(given: Work, context: TaskContext) -> dict[str, int]:
    """Works as an activity."""
    return await _work(given, context)


@task("faults.local", mode="local")
async def local(given: Work, context: TaskContext) -> dict[str, int]:
    """Works as a local activity."""
    return await _work(given, context)
