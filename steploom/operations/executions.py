"""Executions: found by any of their names, and followed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from temporalio.client import WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from definitions.errors import NotFoundError, SteploomError
from definitions.names import QUERY_STATE
from steploom.operations.temporal import find_run, has_pollers
from steploom.operations.unrecorded import instance_of, steps_of

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from definitions.ports import Organization
    from definitions.views import InstanceView, StepView
    from steploom.services import Services

#: Seconds between two looks at the record.
POLL = 0.25
#: Seconds that a worker has for an answer.
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


def is_waiting(step: StepView) -> bool:
    """Whether this is an approval that waits for a decision."""
    return step.status == "waiting" and "approvalsRequired" in (step.waiting_for or {})


async def find(services: Services, org: Organization, name: str) -> Snapshot:
    """A run by its execution id, its UUID, or the beginning of that.

    Without a record (there is no database, or it has not begun yet) by its execution id alone, as
    Temporal tells of it.

    Raises:
        NotFoundError: No such run in this org.
        ConflictError: Several runs' ids begin so; the hint lists them.
    """
    if services.recorded:
        try:
            return await _read(services, org, name)
        except NotFoundError:
            if await find_run(services.client, name, org) is None:
                raise
    return await _ask_temporal(services, org, name)


async def _read(
    services: Services, org: Organization, name: str, state: dict[str, Any] | None = None
) -> Snapshot:
    async with services.reader.moment(org.id) as reader:
        instance = await reader.find_instance(org.id, name)
        return Snapshot(instance, await reader.steps(org.id, instance.id), state or {})


async def find_first_run(services: Services, org: Organization, name: str) -> tuple[str, str]:
    """A run's execution id with the id of its first run in Temporal. Raises as ``find``.

    The two together name this one run, even where its execution id was used again.
    """
    if services.recorded:
        try:
            instance = await services.reader.find_instance(org.id, name)
        except NotFoundError:
            pass
        else:
            return instance.execution_id, instance.first_run_id
    found = await find_run(services.client, name, org)
    if found is None:
        raise _not_found(name)
    return name, found.raw_info.first_run_id or found.run_id


async def _ask_temporal(services: Services, org: Organization, name: str) -> Snapshot:
    found = await find_run(services.client, name, org)
    if found is None:
        raise _not_found(name)
    handle = services.client.get_workflow_handle(name, run_id=found.run_id)
    # Asked after the description: a run that has closed then has nothing more to say.
    served = await has_pollers(services.client, found.task_queue)
    state = await _state(handle) if served else {}
    instance = await instance_of(handle, org, found, state)
    return Snapshot(instance, steps_of(instance.id, state), state)


def _not_found(name: str) -> NotFoundError:
    return NotFoundError("execution", name, hint="`steploom list` shows the latest")


async def watch(services: Services, org: Organization, name: str) -> AsyncIterator[Snapshot]:
    """A run each time that it changed, until it has ended; the last one is its end.

    Args:
        services: Temporal, and Postgres where there is one.
        org: Whose run.
        name: Any name of it. One that Temporal has but that is not on record yet is waited for.

    Raises:
        NotFoundError: No such run in this org.
        SteploomError: It ended without a record of its end.
    """
    looks = _looks_recorded if services.recorded else _looks_unrecorded
    before = ""
    async for snapshot in looks(services, org, name):
        now = _fingerprint(snapshot)
        if now != before:
            before = now
            yield snapshot
        if snapshot.instance.status.ended:
            return


async def _looks_unrecorded(
    services: Services, org: Organization, name: str
) -> AsyncIterator[Snapshot]:
    while True:
        yield await _ask_temporal(services, org, name)
        await asyncio.sleep(POLL)


async def _looks_recorded(
    services: Services, org: Organization, name: str
) -> AsyncIterator[Snapshot]:
    instance = await _await_record(services, org, name)
    handle = services.client.get_workflow_handle(instance.execution_id)
    clock = asyncio.get_running_loop().time
    look_at, closed_at = clock() + _LOOK, 0.0
    while True:
        state = await _state(handle)
        # Read after the query: what the run says must not be newer than what it wrote.
        yield await _read(services, org, str(instance.id), state)
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
            found = await find_run(services.client, name, org)
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
