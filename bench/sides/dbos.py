"""The ten steps with DBOS: a library whose steps run in the process that started the workflow."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench.chain import STEPS
from bench.sides.side import Run, Side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.chain import Mode
    from bench.sides.side import Place


@DBOS.step()
async def add(given: dict[str, int]) -> dict[str, int]:
    """Adds one."""
    return {"n": given["n"] + 1}


@DBOS.workflow()
async def ten_steps(given: dict[str, int]) -> dict[str, int]:
    """One step after the other."""
    for _ in range(STEPS):
        given = await add(given)
    return given


@asynccontextmanager
async def serve(place: Place) -> AsyncIterator[Side]:
    """DBOS with its default settings."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": place.database,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()

    async def run(_: Mode, number: int) -> Run:
        execution = f"bench-{uuid4().hex}"
        with SetWorkflowID(execution):
            return Run(await ten_steps({"n": number}), execution)

    try:
        yield Side(run)
    finally:
        DBOS.destroy()
