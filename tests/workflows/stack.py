"""The stack under test: a worker of ours on a real Temporal and a real Postgres, and its record."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from pydantic import SecretStr
from temporalio.client import (
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError

from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.reader import PostgresReader
from definitions.errors import NotFoundError
from definitions.identity import org_id
from definitions.names import QUERY_STATE, UPDATE_DECIDE, WORKFLOW_TYPE
from definitions.validation.api import parse_definition
from steploom.catalogue import TaskSources, load_registry
from worker.process import open_worker
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from temporalio.client import Client, WorkflowHandle

    from adapters.postgres.database import Database
    from adapters.telemetry.providers import Providers
    from definitions.ports import StoredVersion
    from definitions.views import AttemptView, AuditView, InstanceView, StepView

    Handle = WorkflowHandle[Any, Any]

_T = TypeVar("_T")
DEFAULT = org_id("default")
#: How long anything may take before a test gives up. Machines are slow at times; nothing is
#: measured by it.
PATIENCE = 150.0


@dataclass(frozen=True)
class Record:
    """What a run has left in Postgres."""

    instance: InstanceView
    steps: Sequence[StepView]
    events: Sequence[AuditView]

    def step(self, path: str, iteration: int = 1) -> StepView:
        """One iteration of one step."""
        found = [one for one in self.steps if (one.path, one.iteration) == (path, iteration)]
        assert len(found) == 1, f"{len(found)} records of {path} {iteration}: {self.statuses()}"
        return found[0]

    def attempts(self, path: str, iteration: int = 1) -> Sequence[AttemptView]:
        """The attempts of one iteration of a step."""
        return self.step(path, iteration).attempt_records

    def statuses(self) -> list[tuple[str, str]]:
        """Path and status of every step, in the order in which they began."""
        return [(one.path, str(one.status)) for one in self.steps]

    def attempt_statuses(self, path: str) -> list[str]:
        """The statuses of a step's attempts."""
        return [str(one.status) for one in self.attempts(path)]

    def event(self, event_type: str) -> dict[str, Any]:
        """``data.workflow`` of the one event of this type."""
        found = [one.event_data for one in self.events if one.event_type == event_type]
        assert len(found) == 1
        workflow: dict[str, Any] = found[0]["data"]["workflow"]
        return workflow


class Stack:
    """A client's view of the stack. ``task_queue`` is the one of the shared worker."""

    def __init__(self, client: Client, database: Database, url: str, task_queue: str) -> None:
        self.client = client
        self.database = database
        self.url = url
        self.task_queue = task_queue
        self.store = PostgresDefinitionStore(database)
        self.reader = PostgresReader(database)

    def settings(self, **changes: Any) -> Settings:
        """The settings of a worker."""
        given: dict[str, Any] = {
            "temporal_address": self.client.service_client.config.target_host,
            "temporal_namespace": self.client.namespace,
            "database_url": SecretStr(self.url),
            "task_queue": f"test-{uuid4().hex[:12]}",
            "tasks": ["tests.workflows.tasks"],
            "http_allow": ["127.0.0.1/32"],
            "sandbox": True,
            **changes,
        }
        return Settings(**given)

    @asynccontextmanager
    async def worker(
        self,
        *,
        client: Client | None = None,
        telemetry: Providers | None = None,
        **changes: Any,
    ) -> AsyncIterator[Stack]:
        """A worker of its own with other settings; yields the stack as its clients see it."""
        settings = self.settings(**changes)
        async with serving(settings, client or self.client, telemetry):
            yield Stack(client or self.client, self.database, self.url, settings.task_queue)

    async def register(self, document: dict[str, Any]) -> StoredVersion:
        """Registers a definition, its tasks unchecked."""
        return await self.store.register(DEFAULT, parse_definition(document), document)

    async def start(
        self,
        document: dict[str, Any] | str,
        input: dict[str, Any] | None = None,  # noqa: A002 (the start object's own word for it)
        **fields: Any,
    ) -> Handle:
        """Starts a run of an inline definition, or of a registered one by its id."""
        named = "workflowId" if isinstance(document, str) else "definition"
        return await self.start_with({named: document, "input": input or {}, **fields})

    async def start_with(self, *arguments: Any, workflow_type: str = WORKFLOW_TYPE) -> Handle:
        """Starts a run with these very arguments."""
        return await self.client.start_workflow(
            workflow_type, args=arguments, id=f"x-{uuid4().hex}", task_queue=self.task_queue
        )

    async def run(
        self,
        document: dict[str, Any] | str,
        input: dict[str, Any] | None = None,  # noqa: A002 (the start object's own word for it)
        **fields: Any,
    ) -> tuple[Any, Record]:
        """Runs a definition to its good end: its result and its record."""
        handle = await self.start(document, input, **fields)
        result = await self.result(handle)
        return result, await self.record(handle)

    async def run_failing(
        self,
        document: dict[str, Any] | str,
        input: dict[str, Any] | None = None,  # noqa: A002 (the start object's own word for it)
        **fields: Any,
    ) -> tuple[ApplicationError, Record]:
        """Runs a definition to its failure: the error and the record."""
        handle = await self.start(document, input, **fields)
        error = await self.failure(handle)
        return error, await self.record(handle)

    async def result(self, handle: Handle) -> Any:
        """The result of a run that ends well."""
        return await asyncio.wait_for(handle.result(), PATIENCE)

    async def failure(self, handle: Handle) -> ApplicationError:
        """The error of a run that fails."""
        cause = await self.end(handle)
        assert isinstance(cause, ApplicationError), repr(cause)
        return cause

    async def end(self, handle: Handle) -> BaseException | None:
        """Why a run did not end well; None if it did."""
        try:
            await self.result(handle)
        except WorkflowFailureError as error:
            return error.cause
        return None

    async def record(self, handle: Handle) -> Record:
        """What a run has on record by now."""
        async with self.reader.moment(DEFAULT) as reader:
            instance = await reader.find_instance(DEFAULT, handle.id)
            return Record(
                instance=instance,
                steps=await reader.steps(DEFAULT, instance.id),
                events=await reader.audit_events(DEFAULT, instance.id),
            )

    async def recorded(self, handle: Handle, condition: Callable[[Record], bool]) -> Record:
        """The record, once it is as it should be."""

        async def look() -> Record | None:
            try:
                record = await self.record(handle)
            except NotFoundError:
                return None
            if condition(record):
                return record
            # It was not to be: say so at once.
            ended = record.instance.status.ended
            assert not ended, f"{record.instance.error} {record.statuses()}"
            return None

        return await until(look)

    async def waits(self, handle: Handle, path: str) -> Record:
        """The record, once it says that a step waits."""
        return await self.recorded(handle, lambda record: (path, "waiting") in record.statuses())

    async def state(self, handle: Handle) -> dict[str, Any]:
        """The answer of the ``state`` query."""
        state: dict[str, Any] = await handle.query(QUERY_STATE)
        return state

    async def decide(
        self, handle: Handle, step_id: str, decision: str = "approved", **fields: Any
    ) -> dict[str, Any]:
        """Gives a decision."""
        request = {"stepId": step_id, "decision": decision, "approver": "ann", **fields}
        answer: dict[str, Any] = await handle.execute_update(UPDATE_DECIDE, request)
        return answer

    async def refused(
        self, handle: Handle, step_id: str, decision: str = "approved", **fields: Any
    ) -> str:
        """Gives a decision that is refused; returns why."""
        try:
            answer = await self.decide(handle, step_id, decision, **fields)
        except WorkflowUpdateFailedError as error:
            return str(error.cause)
        raise AssertionError(f"accepted: {answer}")


@asynccontextmanager
async def serving(
    settings: Settings, client: Client, telemetry: Providers | None = None
) -> AsyncIterator[None]:
    """A worker that serves while the body runs."""
    sources = TaskSources(settings.tasks, settings.catalogue)
    registry = load_registry(sources, settings.http_allow)
    async with open_worker(settings, registry, client=client, telemetry=telemetry) as running:
        work = asyncio.create_task(running.worker.run())
        try:
            yield
        finally:
            await running.worker.shutdown()
            await work


async def until(look: Callable[[], Awaitable[_T | None]]) -> _T:
    """What ``look`` finds, once it finds anything."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(0.05)


async def soon(event: asyncio.Event) -> None:
    """Returns when the event has come."""
    await asyncio.wait_for(event.wait(), PATIENCE)
