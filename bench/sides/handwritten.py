"""The ten steps as anybody would write them with Temporal's SDK, without any record."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bench.chain import STEPS
from bench.sides.side import Run, Side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.chain import Mode
    from bench.sides.side import Place

_LIMIT = timedelta(seconds=60)


@activity.defn(name="add")
async def add(given: dict[str, int]) -> dict[str, int]:
    """Adds one."""
    return {"n": given["n"] + 1}


@workflow.defn(name="TenLocal")
class TenLocal:
    """Ten local activities."""

    @workflow.run
    async def run(self, given: dict[str, int]) -> dict[str, int]:
        """One after the other."""
        for _ in range(STEPS):
            given = await workflow.execute_local_activity(add, given, start_to_close_timeout=_LIMIT)
        return given


@workflow.defn(name="TenRemote")
class TenRemote:
    """Ten activities."""

    @workflow.run
    async def run(self, given: dict[str, int]) -> dict[str, int]:
        """One after the other."""
        for _ in range(STEPS):
            given = await workflow.execute_activity(add, given, start_to_close_timeout=_LIMIT)
        return given


@asynccontextmanager
async def serve(place: Place) -> AsyncIterator[Side]:
    """A worker with the very settings of ours."""
    client = await Client.connect(place.temporal)
    queue = f"bench-{uuid4().hex[:8]}"
    settings = place.settings()
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[TenLocal, TenRemote],
        activities=[add],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_workflow_tasks=settings.max_concurrent_workflow_tasks,
        max_concurrent_activities=settings.max_concurrent_activities,
    )

    async def run(mode: Mode, number: int) -> Run:
        kind = TenLocal.run if mode == "local" else TenRemote.run
        execution = f"bench-{uuid4().hex}"
        handle = await client.start_workflow(kind, {"n": number}, id=execution, task_queue=queue)
        return Run(await handle.result(), execution)

    async def events(execution: str) -> int:
        return (await client.get_workflow_handle(execution).describe()).history_length

    work = asyncio.create_task(worker.run())
    try:
        yield Side(run, events)
    finally:
        await worker.shutdown()
        await work
