"""Ours: the worker as `steploom worker` opens it, with and without its record."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from typing_extensions import override

from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from adapters.temporal.connection import connect
from bench.chain import VERSION, definition
from bench.sides.side import Run, Side
from definitions.identity import org_id
from definitions.names import (
    SEARCH_DEFINITION,
    SEARCH_ORG,
    SEARCH_STATUS,
    SEARCH_VERSION,
    WORKFLOW_TYPE,
)
from definitions.start import DEFAULT_ORG
from definitions.statuses import InstanceStatus
from definitions.validation.api import parse_definition
from steploom.catalogue import TaskSources, load_registry
from worker.connections import temporal_connection
from worker.process import open_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.chain import Mode
    from bench.sides.side import Place
    from definitions.records import RecordBatch
    from worker.settings import Settings


class NullRecorder(PostgresRecorder):
    """Keeps nothing. For the benchmark alone: what is measured against it is the record's cost."""

    @override
    async def write(self, batch: RecordBatch) -> None:
        """Nothing."""


@asynccontextmanager
async def serve(place: Place, *, recording: bool) -> AsyncIterator[Side]:
    """A worker of ours with its default settings, and the definitions of both ways registered."""
    settings = place.settings().model_copy(update={"task_queue": f"bench-{uuid4().hex[:8]}"})
    await _register(settings)
    client = await connect(temporal_connection(settings))
    registry = load_registry(TaskSources(settings.tasks, settings.catalogue))
    recorder = PostgresRecorder if recording else NullRecorder

    async def run(mode: Mode, number: int) -> Run:
        execution = f"bench-{uuid4().hex}"
        handle = await client.start_workflow(
            WORKFLOW_TYPE,
            {"workflowId": f"bench-{mode}", "input": {"n": number}},
            id=execution,
            task_queue=settings.task_queue,
            search_attributes=_search_attributes(mode),
        )
        return Run(await handle.result(), execution)

    async def events(execution: str) -> int:
        return (await client.get_workflow_handle(execution).describe()).history_length

    async with open_worker(settings, registry, client=client, recorder_type=recorder) as running:
        work = asyncio.create_task(running.worker.run())
        try:
            yield Side(run, events)
        finally:
            await running.worker.shutdown()
            await work


def _search_attributes(mode: Mode) -> TypedSearchAttributes:
    """Those that `steploom start` sets, so that the run need not."""
    values = {
        SEARCH_DEFINITION: f"bench-{mode}",
        SEARCH_VERSION: VERSION,
        SEARCH_ORG: DEFAULT_ORG,
        SEARCH_STATUS: str(InstanceStatus.RUNNING),
    }
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in values.items()
        ]
    )


async def _register(settings: Settings) -> None:
    url = settings.database_url
    assert url is not None  # noqa: S101 (for the type checker: the side's place has one)
    async with Database(url.get_secret_value()) as database:
        store = PostgresDefinitionStore(database)
        for mode in ("local", "remote"):
            document = definition(mode)
            await store.register(org_id(DEFAULT_ORG), parse_definition(document), document)
