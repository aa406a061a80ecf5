"""The provider ``temporal``: documents that our interpreter runs, and other workflow types.

Workflows are kept in Postgres (``provider_workflows``), and a document is registered like any
other, so that ``steploom start`` and the provider's ``start`` run the same thing.
"""

from __future__ import annotations

import re
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.postgres.provider_workflows import PostgresProviderWorkflows
from definitions.identity import MAX_EXECUTION_ID
from definitions.names import WORKFLOW_TYPE
from definitions.problems import pointer
from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderNotFoundError,
    SpecError,
    Violation,
)
from definitions.providers.limits import (
    MAX_PAGE,
    WORKFLOW_ID_PATTERN,
    check_json,
    check_listing,
    check_text,
)
from definitions.providers.types import CreateWorkflowResult, ExecutionStatus, WorkflowSpec
from definitions.validation.api import validate
from steploom.operations.documents import Checked, register
from steploom.providers.registry import TEMPORAL
from steploom.providers.temporal_foreign import ForeignRuns, ForeignSight
from steploom.providers.temporal_results import temporal_errors
from steploom.providers.temporal_retries import check_supervisor, supervisor_of
from steploom.providers.temporal_runs import DocumentRuns, Sight
from steploom.providers.temporal_specs import check_spec, document_of, foreign_type
from steploom.services import load_settings, open_services, resolve_settings
from worker.interpreter.events import MAX_DATA_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from adapters.postgres.provider_workflows import StoredWorkflow
    from definitions.ports import Organization
    from definitions.providers.port import ExecutionPage, ProviderContext
    from definitions.providers.types import (
        ExecutionEvent,
        ExecutionInput,
        ExecutionResult,
        ExecutionState,
    )
    from steploom.services import Services


#: UTF-8 bytes of why somebody cancels, and of an event's name.
MAX_REASON = 1024
MAX_EVENT_NAME = 255


class TemporalProvider:
    """Workflows and executions of one org (see ``definitions.providers.port``).

    Args:
        services: Temporal and Postgres, open for as long as the provider is used.
        org: Whose.
        actor: Who acts, for the record.
    """

    provider_type = TEMPORAL

    def __init__(self, services: Services, org: Organization, actor: str) -> None:
        self._services = services
        self._org = org
        self._actor = actor
        self._workflows = PostgresProviderWorkflows(services.database, TEMPORAL)
        self._runs = DocumentRuns(services, org, actor)
        self._foreign = ForeignRuns(services.client, org)

    async def create(self, spec: WorkflowSpec) -> CreateWorkflowResult:
        """Creates a workflow; a document is registered for it."""
        check_spec(spec)
        foreign = foreign_type(spec)
        document = document_of(spec) if foreign is None else None
        with temporal_errors():
            before = await self._workflows.find(self._org.id, spec.workflow_id)
            if before is not None:
                return _created(spec, before)
            if document is not None:
                await self._register(spec, document)
            stored = await self._workflows.add(
                self._org.id,
                spec.workflow_id,
                spec.to_json(),
                {
                    "namespace": self._services.client.namespace,
                    "workflow_type": foreign.workflow_type if foreign else WORKFLOW_TYPE,
                },
                actor=self._actor,
            )
        # Somebody else may have been first, with another spec.
        return _created(spec, stored)

    async def _register(self, spec: WorkflowSpec, document: dict[str, Any]) -> None:
        report = validate(document)
        errors = [one for one in report.problems if one.severity == "error"]
        if errors:
            found = [Violation(**one.model_dump()).below("/definition") for one in errors]
            raise SpecError("an unusable WorkflowSpec", found)
        supervisor = supervisor_of(spec, document)
        definition = supervisor and check_supervisor(spec, supervisor)
        checked = Checked(spec.workflow_id, report)
        await register(self._services, self._org, [checked], actor=self._actor)
        if supervisor and definition:
            await self._services.store.register(
                self._org.id, definition, supervisor, listed=False, created_by=self._actor
            )

    async def start(self, workflow_id: str, given: ExecutionInput) -> ExecutionResult:
        """Starts an execution with an object as its input."""
        with temporal_errors():
            spec, _ = await self._stored(workflow_id)
            if not isinstance(given.input, dict):
                message = "must be a JSON object; this provider takes no array"
                found = Violation(pointer="/input", code="type", message=message, size="array")
                raise SpecError("an unusable ExecutionInput", [found])
            foreign = foreign_type(spec)
            if foreign is not None:
                return await self._foreign.start(spec, foreign, given)
            return await self._runs.start(spec, given)

    async def status(self, execution_id: str, *, history: bool = False) -> ExecutionStatus:
        """An execution as it stands."""
        with temporal_errors():
            sight = await self._find(execution_id)
            if isinstance(sight, Sight):
                return await self._runs.status(sight, history=history)
            status = await self._foreign.status(sight)
            if not history:
                return status
            events = [event async for event in self._foreign.history(sight, MAX_PAGE)]
            return ExecutionStatus.parse(
                status.to_json() | {"history": [event.to_json() for event in events]}
            )

    async def history(
        self, execution_id: str, *, page_size: int = 100
    ) -> AsyncIterator[ExecutionEvent]:
        """What happened in an execution so far."""
        with temporal_errors():
            sight = await self._find(execution_id)
            if isinstance(sight, Sight):
                for event in await self._runs.history(sight):
                    yield event
                return
            async for event in self._foreign.history(sight, page_size):
                yield event

    async def cancel(self, execution_id: str, *, reason: str | None = None) -> None:
        """Asks an execution to end as cancelled."""
        _check("reason", check_text(reason or "", MAX_REASON))
        with temporal_errors():
            sight = await self._find(execution_id)
            if isinstance(sight, Sight):
                await self._runs.cancel(sight, reason)
            else:
                await self._foreign.cancel(sight, reason)

    async def signal(self, execution_id: str, name: str, data: Any = None) -> None:
        """Sends an execution an event: to a document's ``core.event``, or as a Temporal signal."""
        _check("name", check_text(name, MAX_EVENT_NAME, required=True))
        _check("data", check_json(data, MAX_DATA_BYTES))
        with temporal_errors():
            sight = await self._find(execution_id)
            if isinstance(sight, Sight):
                await self._runs.signal(sight, name, data)
            else:
                await self._foreign.signal(sight, name, data)

    async def list(
        self,
        workflow_id: str,
        *,
        state: ExecutionState | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> ExecutionPage:
        """A page of a workflow's executions; of documents, as they are on record."""
        check_listing(limit, tags)
        with temporal_errors():
            spec, _ = await self._stored(workflow_id)
            runs = self._runs if foreign_type(spec) is None else self._foreign
            return await runs.page(workflow_id, state=state, tags=tags, limit=limit, after=after)

    async def delete(self, workflow_id: str) -> None:
        """Takes a workflow away. The registered document stays: versions never go."""
        with temporal_errors():
            await self._stored(workflow_id)
            if not await self._workflows.remove(self._org.id, workflow_id):
                raise _no_workflow(workflow_id)

    async def _stored(self, workflow_id: str) -> tuple[WorkflowSpec, StoredWorkflow]:
        if re.fullmatch(WORKFLOW_ID_PATTERN, workflow_id) is None:
            raise _no_workflow(workflow_id)
        stored = await self._workflows.find(self._org.id, workflow_id)
        if stored is None:
            raise _no_workflow(workflow_id)
        return WorkflowSpec.parse(stored.spec), stored

    async def _find(self, execution_id: str) -> Sight | ForeignSight:
        # What neither Postgres nor Temporal could even be asked for is not there.
        if check_text(execution_id, MAX_EXECUTION_ID, required=True):
            raise ProviderNotFoundError("execution", execution_id)
        sight = await self._runs.find(execution_id) or await self._foreign.find(execution_id)
        if sight is None:
            raise ProviderNotFoundError("execution", execution_id)
        return sight


def _check(field: str, found: list[Violation]) -> None:
    if found:
        raise SpecError("an unusable value", [one.below(f"/{field}") for one in found])


def _created(spec: WorkflowSpec, stored: StoredWorkflow) -> CreateWorkflowResult:
    """The answer where this is what is stored now.

    Raises:
        AlreadyExistsError: It is something else.
    """
    there = WorkflowSpec.parse(stored.spec)
    if there != spec:
        differing = [
            name
            for name in WorkflowSpec.model_fields
            if getattr(there, name) != getattr(spec, name)
        ]
        raise AlreadyExistsError(
            f"there is a workflow {spec.workflow_id!r} with another {', '.join(differing)}",
            hint="take another workflow_id, or delete the workflow first",
        )
    return CreateWorkflowResult(
        workflow_id=spec.workflow_id,
        provider_type=TEMPORAL,
        resource_ids=stored.resource_ids,
        created_at=stored.created_at,
    )


def _no_workflow(workflow_id: str) -> ProviderNotFoundError:
    return ProviderNotFoundError("workflow", workflow_id)


@asynccontextmanager
async def open_provider(context: ProviderContext) -> AsyncIterator[TemporalProvider]:
    """The provider for an org, with connections of its own to the services.

    They are those of the context's settings; without any, those of the environment, or of the
    ``steploom dev`` that runs in this folder.

    Raises:
        ProviderNotFoundError: There is no such org.
        UnavailableError: A service is not set up or does not answer.
        SpecError: An option; this provider has none.
    """
    unknown = [
        Violation(pointer=pointer(name), code="unknown", message="there is no such option")
        for name in context.options
    ]
    if unknown:
        raise SpecError("unusable options", unknown)
    async with AsyncExitStack() as exits:
        with temporal_errors():
            settings = context.settings or resolve_settings(load_settings(), Path.cwd())
            services = await exits.enter_async_context(open_services(settings))
            org = await services.store.find_org(context.org)
        yield TemporalProvider(services, org, context.actor)
