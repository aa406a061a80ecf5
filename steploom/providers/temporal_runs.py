"""Executions of documents: runs of ours, which Temporal drives and Postgres has on record.

Where a run stands is Temporal's to say, for as long as it knows the run; the record may be a moment
behind it. Steps, and whatever Temporal has forgotten, come from the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from temporalio.common import SearchAttributeKey

from definitions.errors import ConflictError, NotFoundError, RefusedError
from definitions.names import SEARCH_DEFINITION, SEARCH_ORG, WORKFLOW_TYPE
from definitions.providers.errors import AlreadyExistsError
from definitions.providers.port import ExecutionPage
from definitions.providers.types import ExecutionResult, ExecutionState, ExecutionStatus
from definitions.statuses import TABLE, InstanceStatus, moment
from steploom.operations import acting
from steploom.operations.starting import Planned, begin, check_run_input, parse_start
from steploom.providers.registry import TEMPORAL
from steploom.providers.temporal_history import recorded_history
from steploom.providers.temporal_naming import (
    execution_id,
    idempotency_key,
    input_hash,
    new_name,
)
from steploom.providers.temporal_results import (
    WORKFLOW_TIMEOUT,
    Ending,
    bounded,
    describe,
    ending_of,
    error_on_record,
    state_of,
)
from steploom.providers.temporal_retries import (
    RETRIED,
    error_of_try,
    no_try,
    retried_version,
    steps_of_tries,
    supervisor_of,
    tries_of,
    try_under_way,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from temporalio.client import WorkflowExecutionDescription

    from definitions.ports import Organization
    from definitions.providers.types import (
        ExecutionError,
        ExecutionEvent,
        ExecutionInput,
        WorkflowSpec,
    )
    from definitions.views import InstanceView, StepView
    from steploom.services import Services

_FAILURES = frozenset({ExecutionState.FAILED, ExecutionState.TIMED_OUT})
#: In the start object's ``metadata``: what the input of a named execution was, to the letter.
_INPUT_HASH = "providerInputHash"


@dataclass(frozen=True, slots=True)
class Sight:
    """A run as the two sides see it; at least one of them does.

    ``begun`` is its start object, where it is not on record.
    """

    execution_id: str
    instance: InstanceView | None
    described: WorkflowExecutionDescription | None
    begun: dict[str, Any] = field(default_factory=dict)

    @property
    def retried(self) -> str | None:
        """The version that is tried again, where this is a supervisor (``temporal_retries``)."""
        if self.instance is not None:
            return retried_version(self.instance.metadata)
        return retried_version(self.begun.get("metadata"))


class DocumentRuns:
    """The runs of documents of one org."""

    def __init__(self, services: Services, org: Organization, actor: str) -> None:
        self._services = services
        self._org = org
        self._actor = actor

    async def start(self, spec: WorkflowSpec, given: ExecutionInput) -> ExecutionResult:
        """Starts a run of a spec's version, or finds the one that was started before."""
        services, org = self._services, self._org
        workflow_id, version = spec.workflow_id, str(spec.definition["version"])
        stored = await services.store.get(org.id, workflow_id, version)
        execution = execution_id(org, workflow_id, given.execution_name or new_name())
        digest = input_hash(org, workflow_id, given.input)
        supervisor = supervisor_of(spec, stored.document)
        named: dict[str, Any] = {"workflowId": workflow_id, "version": version}
        metadata: dict[str, Any] = {}
        if supervisor is not None:
            named = {"definition": supervisor}
            metadata[RETRIED] = version
        if given.execution_name:
            named["idempotencyKey"] = idempotency_key(org, execution)
            metadata[_INPUT_HASH] = digest
            before = await services.reader.find_by_idempotency_key(org.id, named["idempotencyKey"])
            if before is not None:
                if before.metadata.get(_INPUT_HASH) != digest:
                    raise _other_input(given.execution_name, workflow_id)
                return await self._found(execution)
        request = parse_start(
            {
                "input": given.input,
                "orgId": org.slug,
                "userId": self._actor,
                "tags": dict(given.tags),
                "metadata": metadata or None,
                **named,
            }
        )
        check_run_input(stored.document.get("inputSchema"), request.input)
        planned = (supervisor or stored.document)["version"]
        plan = Planned(workflow_id, planned, stored.document["name"], None)
        try:
            started = await begin(
                services, org, request, plan, execution_id=execution, digest=digest
            )
        except ConflictError:
            raise _other_input(given.execution_name, workflow_id) from None
        if started.existing:
            return await self._found(execution)
        return ExecutionResult(
            execution_id=execution,
            workflow_id=workflow_id,
            provider_type=TEMPORAL,
            state=ExecutionState.PENDING,
            started_at=datetime.now(UTC),
            message="" if started.served else "no worker serves its task queue now",
        )

    async def _found(self, execution: str) -> ExecutionResult:
        """The answer about an execution that was there before."""
        sight = await self.find(execution)
        if sight is None:
            raise NotFoundError("execution", execution)
        status = await self.status(sight)
        return ExecutionResult(
            execution_id=execution,
            workflow_id=status.workflow_id,
            provider_type=TEMPORAL,
            state=status.state,
            started_at=status.start_time,
            message="it was started before",
        )

    async def find(self, execution: str) -> Sight | None:
        """A run of this org by its execution id."""
        # Before the record is read: a run writes its end there first, and then ends in Temporal.
        described = await describe(self._services.client, execution)
        try:
            instance = await self._services.reader.find_instance(self._org.id, execution)
        except (NotFoundError, ConflictError):
            instance = None
        if instance is not None and instance.execution_id != execution:
            # The reader also knows a run by its UUID and by the beginning of that.
            instance = None
        if described is not None and described.workflow_type != WORKFLOW_TYPE:
            described = None
        if described is not None:
            chain = described.raw_info.first_run_id or described.run_id
            owner = described.typed_search_attributes.get(
                SearchAttributeKey.for_keyword(SEARCH_ORG)
            )
            on_record = instance is not None and instance.first_run_id == chain
            if not on_record and owner != self._org.slug:
                # Somebody else's who took the same name, or nobody can tell whose.
                described = None
            elif not on_record:
                instance = None
        if instance is None and described is None:
            return None
        if instance is not None:
            return Sight(execution, instance, described)
        return Sight(execution, None, described, await self._begun(execution))

    async def status(self, sight: Sight, *, history: bool = False) -> ExecutionStatus:
        """How a run stands."""
        instance, described = sight.instance, sight.described
        ending = await self._ending(sight)
        if described is not None:
            state = state_of(described, ending.error)
            started, stopped = described.start_time, described.close_time
            if instance is not None:
                started = instance.started_at
        elif instance is not None:
            timed_out = ending.error is not None and ending.error.code == WORKFLOW_TIMEOUT
            state = ExecutionState(moment(instance.status, timed_out=timed_out).execution)
            started, stopped = instance.started_at, instance.completed_at
        else:
            raise AssertionError("somebody sees it")
        succeeded = state is ExecutionState.SUCCEEDED
        given = instance.input if instance is not None else sight.begun.get("input", {})
        members, left_out = bounded(
            given, ending.output, has_output=succeeded and ending.has_output
        )
        events = []
        if history:
            events = await self._events(sight, state, started, stopped, ending)
        return ExecutionStatus(
            execution_id=sight.execution_id,
            workflow_id=_workflow_id(sight),
            provider_type=TEMPORAL,
            state=state,
            start_time=started,
            stop_time=stopped if state.ended else None,
            error=ending.error if state in _FAILURES else None,
            history=events,
            metadata={**_metadata(sight), **left_out},
            **members,
        )

    async def history(self, sight: Sight) -> list[ExecutionEvent]:
        """What happened in a run so far."""
        status = await self.status(sight, history=True)
        return list(status.history)

    async def cancel(self, sight: Sight, reason: str | None) -> None:
        """Asks a run to end as cancelled; one that has ended stays as it is."""
        try:
            await acting.cancel(
                self._services, self._org, sight.execution_id, actor=self._actor, reason=reason
            )
        except RefusedError:
            return

    async def signal(self, sight: Sight, name: str, data: Any) -> None:
        """Sends a run an event; one that is tried again takes it in the try under way."""
        message = {"name": name} | ({} if data is None else {"data": data})
        running = sight.described is not None and sight.described.close_time is None
        if sight.retried is None or not running:
            await acting.send(self._services, self._org, sight.execution_id, message)
            return
        takes = try_under_way(sight.described)
        if takes is None:
            raise no_try(sight.execution_id)
        try:
            await acting.send(self._services, self._org, takes, message)
        except (NotFoundError, RefusedError) as error:
            # It has not quite begun, or has ended since.
            raise no_try(sight.execution_id) from error

    async def page(
        self,
        workflow_id: str,
        *,
        state: ExecutionState | None,
        tags: Mapping[str, str] | None,
        limit: int,
        after: str | None,
    ) -> ExecutionPage:
        """A page of the runs on record, without the tries of one that is tried again."""
        situations = [key for key, one in TABLE.items() if state in (None, one.execution)]
        statuses = {status for status, _ in situations}
        # Only a failed run can also have been ended by its timeout.
        flags = {timed_out for status, timed_out in situations if status is InstanceStatus.FAILED}
        page = await self._services.reader.list_instances(
            self._org.id,
            workflow_id=workflow_id,
            no_child_of=RETRIED,
            statuses=sorted(statuses) if state is not None else None,
            timed_out=flags.pop() if len(flags) == 1 else None,
            tags=tags,
            limit=limit,
            after=after,
        )
        return ExecutionPage([await self._on_record(one) for one in page.items], page.next)

    async def _on_record(self, instance: InstanceView) -> ExecutionStatus:
        """A run in a list, as the record has it."""
        sight = Sight(instance.execution_id, instance, None)
        error = await self._error(sight, instance)
        timed_out = error is not None and error.code == WORKFLOW_TIMEOUT
        state = ExecutionState(moment(instance.status, timed_out=timed_out).execution)
        return ExecutionStatus(
            execution_id=instance.execution_id,
            workflow_id=instance.workflow_id,
            provider_type=TEMPORAL,
            state=state,
            start_time=instance.started_at,
            stop_time=instance.completed_at,
            input=None,
            error=error if state in _FAILURES else None,
            metadata=_metadata(sight),
        )

    async def _ending(self, sight: Sight) -> Ending:
        """How a run ended: as it is on record, with the output that it gave to Temporal."""
        instance, described = sight.instance, sight.described
        error = None
        if instance is not None and instance.status.ended:
            error = await self._error(sight, instance)
        if described is not None:
            if described.close_time is None:
                return Ending()
            ending = await ending_of(
                self._services.client, described, retried=sight.retried is not None
            )
            return Ending(ending.output, ending.has_output, error or ending.error)
        if instance is None or instance.status is not InstanceStatus.COMPLETED:
            return Ending(error=error)
        return Ending(output=instance.output, has_output=True)

    async def _error(self, sight: Sight, instance: InstanceView) -> ExecutionError | None:
        """Why a run has failed, as it is on record."""
        if instance.error is None:
            return None
        if sight.retried is None:
            return error_on_record(instance.error)
        told = error_of_try(instance.error)
        error = error_on_record(told)
        if told is instance.error.get("details"):
            return error
        # It was stopped from outside, as by the timeout of all tries; where, the last one knows.
        tries = await tries_of(self._services.reader, self._org, instance)
        at = tries[-1].instance.current_step_id if tries else None
        return error.model_copy(update={"failed_at": at or ""})

    async def _begun(self, execution: str) -> dict[str, Any]:
        """The start object of a run, from Temporal."""
        handle = self._services.client.get_workflow_handle(execution)
        async for event in handle.fetch_history_events(page_size=1):
            payloads = event.workflow_execution_started_event_attributes.input.payloads
            given = await self._services.client.data_converter.decode(list(payloads)[:1])
            if given and isinstance(given[0], dict):
                return given[0]
        return {}

    async def _events(
        self,
        sight: Sight,
        state: ExecutionState,
        started: datetime,
        stopped: datetime | None,
        ending: Ending,
    ) -> list[ExecutionEvent]:
        instance, reader = sight.instance, self._services.reader
        tries: list[tuple[int | None, Sequence[StepView]]] = []
        if instance is not None and sight.retried is None:
            tries = [(None, await reader.steps(self._org.id, instance.id))]
        elif instance is not None:
            tries = [*await steps_of_tries(reader, self._org, instance)]
        return recorded_history(
            tries, started=started, stopped=stopped, state=state, error=ending.error
        )


def _workflow_id(sight: Sight) -> str:
    if sight.instance is not None:
        return sight.instance.workflow_id
    key = SearchAttributeKey.for_keyword(SEARCH_DEFINITION)
    named = sight.described.typed_search_attributes.get(key) if sight.described else None
    return named or ""


def _metadata(sight: Sight) -> dict[str, str]:
    metadata: dict[str, str] = {}
    if sight.instance is not None:
        metadata["version"] = sight.retried or sight.instance.version
        metadata["status"] = str(sight.instance.status)
        metadata |= {f"tag:{key}": value for key, value in sight.instance.tags.items()}
    if sight.described is not None:
        metadata["run_id"] = sight.described.run_id
    if sight.retried is not None and (attempt := try_under_way(sight.described)) is not None:
        metadata["try"] = attempt
    return metadata


def _other_input(name: str, workflow_id: str) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"{workflow_id!r} has an execution {name!r} with another input",
        hint="use a new name for a new execution, or repeat the first start unchanged",
    )
