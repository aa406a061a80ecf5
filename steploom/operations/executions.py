"""Executions: found by any of their names, followed, decided on, cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from definitions.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    SteploomError,
    UnreachableError,
)
from definitions.names import QUERY_STATE, UPDATE_DECIDE
from steploom.operations.temporal import find_run, unreachable

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from definitions.ports import Organization
    from definitions.views import InstanceView, StepView
    from steploom.services import Services

#: Seconds between two looks at the record.
POLL = 0.25
#: Seconds that a worker has for an answer to a decision.
_ANSWER = 20.0
#: Seconds for the record of a run that Temporal says has ended.
_LAST_RECORD = 5.0
#: Seconds between two questions to Temporal whether a run goes on at all.
_LOOK = 2.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as it stands: the record, and what the run itself says while it can be asked."""

    instance: InstanceView
    steps: Sequence[StepView]
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def waiting(self) -> list[StepView]:
        """The approvals that wait for a decision."""
        return [step for step in self.steps if is_waiting(step)]

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**self.instance.to_json(), "steps": [step.to_json() for step in self.steps]}


def is_waiting(step: StepView) -> bool:
    """Whether this is an approval that waits for a decision."""
    return step.status == "waiting" and "approvalsRequired" in (step.waiting_for or {})


async def find(services: Services, org: Organization, name: str) -> Snapshot:
    """A run by its execution id, its UUID, or the beginning of that.

    Raises:
        NotFoundError: No such run in this org.
        ConflictError: Several runs' ids begin so; the hint lists them.
    """
    instance = await services.reader.find_instance(org.id, name)
    return await _snapshot(services, org, instance)


async def _snapshot(services: Services, org: Organization, instance: InstanceView) -> Snapshot:
    return Snapshot(instance, await services.reader.steps(org.id, instance.id))


async def watch(services: Services, org: Organization, name: str) -> AsyncIterator[Snapshot]:
    """A run each time that it changed, until it has ended; the last one is its end.

    Args:
        services: Temporal and Postgres.
        org: Whose run.
        name: Any name of it. One that Temporal has but that is not on record yet is waited for.

    Raises:
        NotFoundError: No such run in this org.
        SteploomError: It ended without a record of its end.
    """
    instance = await _await_record(services, org, name)
    handle = services.client.get_workflow_handle(instance.execution_id)
    clock = asyncio.get_running_loop().time
    before, look_at, closed_at = "", clock() + _LOOK, 0.0
    while True:
        state = await _state(handle)
        # Read after the query: what the run says must not be newer than what it wrote.
        snapshot = await find(services, org, str(instance.id))
        snapshot = Snapshot(snapshot.instance, snapshot.steps, state)
        now = _fingerprint(snapshot)
        if now != before:
            before = now
            yield snapshot
        if snapshot.instance.status.ended:
            return
        # A run that was terminated, or that broke before its first record, ends without a record.
        if not closed_at and clock() > look_at:
            look_at = clock() + _LOOK
            closed_at = clock() if await _is_closed(handle) else 0.0
        if closed_at and clock() - closed_at > _LAST_RECORD:
            raise SteploomError(
                f"{instance.execution_id} has ended in Temporal, and its record does not say how",
                hint=f"`temporal workflow show --workflow-id {instance.execution_id}` does",
            )
        await asyncio.sleep(POLL)


async def _await_record(services: Services, org: Organization, name: str) -> InstanceView:
    while True:
        try:
            return await services.reader.find_instance(org.id, name)
        except NotFoundError:
            found = await find_run(services.client, name, org.slug)
            if found is None or found.status is not WorkflowExecutionStatus.RUNNING:
                # It may have begun and ended since the record was asked.
                return await services.reader.find_instance(org.id, name)
        await asyncio.sleep(POLL)


async def _state(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """What the run says of itself; nothing where it cannot be asked now."""
    try:
        answer = await asyncio.wait_for(handle.query(QUERY_STATE), _ANSWER)
    except (RPCError, WorkflowQueryFailedError, TimeoutError):
        return {}
    return answer if isinstance(answer, dict) else {}


async def _is_closed(handle: WorkflowHandle[Any, Any]) -> bool:
    try:
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING
    except RPCError as error:
        return error.status is RPCStatusCode.NOT_FOUND


def _fingerprint(snapshot: Snapshot) -> str:
    """What makes two snapshots differ for who watches."""
    said = snapshot.state.get("steps")
    parts = [
        [snapshot.instance.status, snapshot.instance.current_step_id],
        [
            [one.path, one.iteration, one.status, one.attempts, len(one.votes), one.compensated,
             [attempt.status for attempt in one.attempt_records]]
            for one in snapshot.steps
        ],
        {name: one.get("status") for name, one in said.items()} if isinstance(said, dict) else {},
    ]  # fmt: skip
    return json.dumps(parts, default=str)


async def decide(
    services: Services,
    org: Organization,
    name: str,
    *,
    decision: Literal["approved", "rejected"],
    approver: str,
    step: str | None = None,
    comment: str | None = None,
    payload: Any = None,
) -> dict[str, Any]:
    """Hands a person's decision to a run; returns what the run answers.

    Args:
        services: Temporal and Postgres.
        org: Whose run.
        name: Any name of the run.
        decision: The decision.
        approver: Who decides.
        step: The step's id or path; may be left out where exactly one waits.
        comment: Why.
        payload: What the approval's form asks for.

    Raises:
        NotFoundError: No such run.
        RefusedError: The run refuses it, with its reason; or nothing waits.
        ConflictError: Several steps wait, and none was named.
    """
    snapshot = await find(services, org, name)
    instance = snapshot.instance
    if instance.status.ended:
        raise RefusedError(
            f"{instance.execution_id} is {instance.status} already",
            hint=f"`steploom show {instance.execution_id}` tells how it ended",
        )
    request = {
        "stepId": step or _the_one_that_waits(snapshot),
        "decision": decision,
        "approver": approver,
        "comment": comment,
        "payload": payload,
    }
    given = {key: value for key, value in request.items() if value is not None}
    handle = services.client.get_workflow_handle(instance.execution_id)
    try:
        answer = await asyncio.wait_for(handle.execute_update(UPDATE_DECIDE, given), _ANSWER)
    except WorkflowUpdateFailedError as error:
        raise _refusal(error, instance.execution_id) from None
    except TimeoutError:
        raise _unanswered(services) from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise RefusedError(f"{instance.execution_id} runs no more") from None
        raise unreachable(error) from error
    return answer if isinstance(answer, dict) else {}


def _the_one_that_waits(snapshot: Snapshot) -> str:
    waiting = snapshot.waiting
    if len(waiting) == 1:
        return waiting[0].path
    name = snapshot.instance.execution_id
    if not waiting:
        raise RefusedError(
            f"no step of {name} waits for a decision",
            hint=f"`steploom show {name}` tells where it stands",
        )
    raise ConflictError(
        f"{len(waiting)} steps of {name} wait for a decision",
        hint=f"name one: {', '.join(step.path for step in waiting)}",
    )


def _refusal(error: WorkflowUpdateFailedError, name: str) -> RefusedError:
    cause = error.cause
    reason = cause.message if isinstance(cause, ApplicationError) else str(cause)
    return RefusedError(
        f"{name} refuses the decision: {reason}",
        hint=f"`steploom show {name}` tells which steps wait, and for what",
    )


def _unanswered(services: Services) -> UnreachableError:
    return UnreachableError(
        "Temporal",
        f"no worker answered within {_ANSWER:.0f} s on the task queue "
        f"{services.settings.task_queue!r}; the decision may still arrive",
        hint="start a worker with `steploom worker` or `steploom dev`",
    )


async def cancel(services: Services, org: Organization, name: str) -> str:
    """Asks a run to end as ``cancelled``; returns its execution id.

    Raises:
        NotFoundError: No such run.
        RefusedError: It has ended already.
    """
    try:
        instance = await services.reader.find_instance(org.id, name)
    except NotFoundError:
        # One that no worker has taken up yet is not on record.
        if await find_run(services.client, name, org.slug) is None:
            raise
        execution_id = name
    else:
        execution_id = instance.execution_id
        if instance.status.ended:
            raise RefusedError(
                f"{execution_id} is {instance.status} already",
                hint=f"`steploom show {execution_id}` tells how it ended",
            )
    try:
        await services.client.get_workflow_handle(execution_id).cancel()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise RefusedError(f"{execution_id} runs no more") from None
        raise unreachable(error) from error
    return execution_id
