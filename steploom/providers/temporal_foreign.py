"""Executions of workflow types that are not ours: Temporal alone knows of them.

What the provider has to know of one later stands in its memo: whose it is, of which workflow, its
tags, and what its input was. A name is therefore taken for as long as Temporal keeps the run.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from temporalio.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.search_attributes import missing
from definitions.names import SEARCH_DEFINITION, SEARCH_ORG
from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderConflictError,
    SpecError,
    UnsupportedError,
    Violation,
)
from definitions.providers.port import ExecutionPage
from definitions.providers.types import ExecutionResult, ExecutionState, ExecutionStatus
from steploom.operations.temporal import has_pollers, unreachable
from steploom.providers.registry import TEMPORAL
from steploom.providers.temporal_history import foreign_history
from steploom.providers.temporal_naming import execution_id, input_hash, new_name
from steploom.providers.temporal_results import (
    Ending,
    bounded,
    describe,
    ending_of,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription

    from definitions.ports import Organization
    from definitions.providers.types import ExecutionEvent, ExecutionInput, WorkflowSpec
    from steploom.providers.temporal_specs import ForeignType

_MEMO = "steploomProvider"
#: Temporal's names of the states, in its query language. A run that was terminated has failed.
_QUERIES = {
    ExecutionState.RUNNING: "ExecutionStatus = 'Running'",
    ExecutionState.SUCCEEDED: "ExecutionStatus = 'Completed'",
    ExecutionState.FAILED: "ExecutionStatus IN ('Failed', 'Terminated')",
    ExecutionState.TIMED_OUT: "ExecutionStatus = 'TimedOut'",
    ExecutionState.CANCELLED: "ExecutionStatus = 'Canceled'",
}


@dataclass(frozen=True, slots=True)
class ForeignSight:
    """A run of another workflow type, and what its memo says."""

    described: WorkflowExecutionDescription
    memo: dict[str, Any]


class ForeignRuns:
    """The runs of other workflow types of one org."""

    def __init__(self, client: Client, org: Organization) -> None:
        self._client = client
        self._org = org

    async def start(
        self, spec: WorkflowSpec, foreign: ForeignType, given: ExecutionInput
    ) -> ExecutionResult:
        """Starts a run with the input as its argument, or finds the one of the same name."""
        workflow_id = spec.workflow_id
        execution = execution_id(self._org, workflow_id, given.execution_name or new_name())
        memo = {
            "org": self._org.slug,
            "workflowId": workflow_id,
            "inputHash": input_hash(self._org, workflow_id, given.input),
            "tags": dict(given.tags),
        }
        try:
            await self._client.start_workflow(
                foreign.workflow_type,
                given.input,
                id=execution,
                task_queue=foreign.task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                execution_timeout=_execution_timeout(spec),
                retry_policy=_retry_policy(spec),
                memo={_MEMO: memo},
                search_attributes=await self._search_attributes(workflow_id),
                static_summary=spec.name,
            )
        except WorkflowAlreadyStartedError:
            return await self._started_before(execution, memo, given.execution_name)
        served = await has_pollers(self._client, foreign.task_queue)
        return ExecutionResult(
            execution_id=execution,
            workflow_id=workflow_id,
            provider_type=TEMPORAL,
            state=ExecutionState.PENDING,
            started_at=datetime.now(UTC),
            message="" if served else "no worker serves its task queue now",
        )

    async def _started_before(
        self, execution: str, memo: dict[str, Any], name: str
    ) -> ExecutionResult:
        sight = await self.find(execution)
        if sight is None or sight.memo.get("inputHash") != memo["inputHash"]:
            raise AlreadyExistsError(
                f"{memo['workflowId']!r} has an execution {name!r} with another input",
                hint="use a new name for a new execution, or repeat the first start unchanged",
            )
        status = await self.status(sight)
        return ExecutionResult(
            execution_id=execution,
            workflow_id=status.workflow_id,
            provider_type=TEMPORAL,
            state=status.state,
            started_at=status.start_time,
            message="it was started before",
        )

    async def _search_attributes(self, workflow_id: str) -> TypedSearchAttributes:
        if await self._lacking():
            return TypedSearchAttributes.empty
        values = {SEARCH_ORG: self._org.slug, SEARCH_DEFINITION: workflow_id}
        return TypedSearchAttributes(
            [
                SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
                for name, value in values.items()
            ]
        )

    async def _lacking(self) -> bool:
        """Whether the namespace lacks our search attributes, or does not say."""
        try:
            return bool(await missing(self._client))
        except RPCError:
            return True

    async def find(self, execution: str) -> ForeignSight | None:
        """A run of this org by its execution id."""
        described = await describe(self._client, execution)
        if described is None:
            return None
        memo = (await described.memo()).get(_MEMO)
        if not isinstance(memo, dict) or memo.get("org") != self._org.slug:
            return None
        return ForeignSight(described, memo)

    async def status(self, sight: ForeignSight) -> ExecutionStatus:
        """How a run stands."""
        described = sight.described
        ending = await self._ending(sight)
        state = state_of(described, ending.error)
        succeeded = state is ExecutionState.SUCCEEDED
        members, left_out = bounded(
            await self._given(described), ending.output, has_output=succeeded and ending.has_output
        )
        return ExecutionStatus(
            execution_id=described.id,
            workflow_id=sight.memo["workflowId"],
            provider_type=TEMPORAL,
            state=state,
            start_time=described.start_time,
            stop_time=described.close_time,
            error=None if state is ExecutionState.CANCELLED else ending.error,
            metadata={**_metadata(sight.memo, described), **left_out},
            **members,
        )

    async def history(self, sight: ForeignSight, page_size: int) -> AsyncIterator[ExecutionEvent]:
        """What happened in a run so far, page by page."""
        described = sight.described
        handle = self._client.get_workflow_handle(described.id, run_id=described.run_id)
        ending = await self._ending(sight)
        events = handle.fetch_history_events(page_size=page_size)
        async for event in foreign_history(aiter(events), ending.error):
            yield event

    async def cancel(self, sight: ForeignSight, reason: str | None) -> None:
        """Asks a run to end as cancelled; one that has ended stays as it is."""
        try:
            handle = self._client.get_workflow_handle(sight.described.id)
            await handle.cancel(reason=reason or "")
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise unreachable(error) from error

    async def signal(self, sight: ForeignSight, name: str, data: Any) -> None:
        """Sends a run a signal of this name with the data as its argument."""
        handle = self._client.get_workflow_handle(sight.described.id)
        try:
            await handle.signal(name, args=[] if data is None else [data])
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise ProviderConflictError(f"{sight.described.id} has ended") from None
            raise unreachable(error) from error

    async def page(
        self,
        workflow_id: str,
        *,
        state: ExecutionState | None,
        tags: Mapping[str, str] | None,
        limit: int,
        after: str | None,
    ) -> ExecutionPage:
        """A page of the runs that Temporal's visibility shows.

        A page whose runs lack the tags is shorter, and may be empty, though there is a next one.
        """
        if await self._lacking():
            raise UnsupportedError(
                "this namespace lacks the search attributes by which executions are found",
                hint="`steploom migrate` registers them",
            )
        if state is ExecutionState.PENDING:
            return ExecutionPage([])
        # A run that went on in a new one is not another execution.
        query = (
            f"{SEARCH_ORG} = '{self._org.slug}' AND {SEARCH_DEFINITION} = '{workflow_id}'"
            " AND ExecutionStatus != 'ContinuedAsNew'"
        )
        if state is not None:
            query += f" AND {_QUERIES[state]}"
        found = self._client.list_workflows(
            query, page_size=limit, next_page_token=_read_token(after)
        )
        try:
            await found.fetch_next_page()
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT:
                raise _bad_page() from None
            raise unreachable(error) from error
        items = []
        for one in found.current_page or []:
            memo = (await one.memo()).get(_MEMO)
            if isinstance(memo, dict) and (tags or {}).items() <= memo.get("tags", {}).items():
                items.append(_in_a_list(one, memo))
        token = found.next_page_token
        return ExecutionPage(items, base64.urlsafe_b64encode(token).decode() if token else None)

    async def _ending(self, sight: ForeignSight) -> Ending:
        if sight.described.close_time is None:
            return Ending()
        return await ending_of(self._client, sight.described)

    async def _given(self, described: WorkflowExecutionDescription) -> Any:
        handle = self._client.get_workflow_handle(described.id, run_id=described.run_id)
        async for event in handle.fetch_history_events(page_size=1):
            payloads = event.workflow_execution_started_event_attributes.input.payloads
            values = await self._client.data_converter.decode(list(payloads)[:1])
            return values[0] if values else None
        return None


def _execution_timeout(spec: WorkflowSpec) -> timedelta | None:
    if spec.timeout is None or not spec.timeout.nanoseconds:
        return None
    # Temporal takes what is shorter than it can count for no timeout at all.
    return max(spec.timeout.to_timedelta(), timedelta(milliseconds=1))


def _retry_policy(spec: WorkflowSpec) -> RetryPolicy | None:
    policy = spec.retry_policy
    if policy is None or spec.attempts == 1:
        return None
    longest = policy.max_interval.to_timedelta()
    return RetryPolicy(
        initial_interval=policy.initial_interval.to_timedelta(),
        backoff_coefficient=float(policy.backoff_rate),
        maximum_interval=longest or None,
        maximum_attempts=spec.attempts,
    )


def _metadata(memo: dict[str, Any], run: WorkflowExecution) -> dict[str, str]:
    metadata = {"run_id": run.run_id, "workflow_type": run.workflow_type}
    return metadata | {f"tag:{key}": str(value) for key, value in memo.get("tags", {}).items()}


def _in_a_list(run: WorkflowExecution, memo: dict[str, Any]) -> ExecutionStatus:
    # Visibility has the length of a history only when it is closed: no run is pending here.
    state = ExecutionState.RUNNING if run.close_time is None else state_of(run, None)
    return ExecutionStatus(
        execution_id=run.id,
        workflow_id=memo["workflowId"],
        provider_type=TEMPORAL,
        state=state,
        start_time=run.start_time,
        stop_time=run.close_time,
        input=None,
        metadata=_metadata(memo, run),
    )


def _read_token(after: str | None) -> bytes | None:
    try:
        return base64.b64decode(after, altchars=b"-_", validate=True) if after else None
    except (binascii.Error, ValueError):
        raise _bad_page() from None


def _bad_page() -> SpecError:
    message = "is not the end of a page"
    return SpecError(
        "an unusable value", [Violation(pointer="/after", code="page", message=message)]
    )
