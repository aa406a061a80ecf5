"""An execution as Temporal alone tells of it, in the shape of the record.

What Temporal does not know is left out: the attempts, the votes, the steps inside branches once
they have ended.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from definitions.identity import instance_id, step_record_id
from definitions.names import SEARCH_CORRELATION, SEARCH_DEFINITION, SEARCH_VERSION
from definitions.statuses import InstanceStatus, StepStatus
from definitions.views import InstanceView, StepView

if TYPE_CHECKING:
    from uuid import UUID

    from temporalio.client import WorkflowExecutionDescription, WorkflowHandle

    from definitions.ports import Organization

_CLOSED = {
    WorkflowExecutionStatus.COMPLETED: InstanceStatus.COMPLETED,
    WorkflowExecutionStatus.CANCELED: InstanceStatus.CANCELLED,
    WorkflowExecutionStatus.FAILED: InstanceStatus.FAILED,
    WorkflowExecutionStatus.TERMINATED: InstanceStatus.FAILED,
    WorkflowExecutionStatus.TIMED_OUT: InstanceStatus.FAILED,
}
#: Seconds for the result of a run that has ended.
_RESULT = 10.0


def status_of(found: WorkflowExecutionDescription) -> InstanceStatus | None:
    """How a run has ended; None while it goes on."""
    return _CLOSED.get(found.status) if found.status is not None else None


async def instance_of(
    handle: WorkflowHandle[Any, Any],
    org: Organization,
    found: WorkflowExecutionDescription,
    state: dict[str, Any],
) -> InstanceView:
    """The run. ``state`` is its own answer to ``state``, empty where it gave none."""
    ended = status_of(found)
    output, error = state.get("output"), state.get("error")
    if ended is not None and not state:
        output, error = await _outcome(handle)
    first_run = found.raw_info.first_run_id or found.run_id
    return InstanceView(
        id=instance_id(first_run),
        org_id=org.id,
        execution_id=found.id,
        first_run_id=first_run,
        workflow_id=state.get("workflowId") or _attribute(found, SEARCH_DEFINITION) or "unknown",
        version=state.get("version") or _attribute(found, SEARCH_VERSION) or "unknown",
        status=ended or _own_status(state),
        current_step_id=state.get("currentStepId"),
        input=state.get("input"),
        state={name: state[name] for name in ("input", "steps", "variables")} if "steps" in state
        else None,
        output=output,
        error=error if isinstance(error, dict) else None,
        correlation_id=_attribute(found, SEARCH_CORRELATION),
        started_at=found.start_time,
        updated_at=found.close_time or found.start_time,
        completed_at=found.close_time,
    )  # fmt: skip


def _own_status(state: dict[str, Any]) -> InstanceStatus:
    # ``pending`` before it has begun; and a run that has its result may not have closed yet.
    said = state.get("status")
    paused = said == InstanceStatus.SUSPENDED
    return InstanceStatus.SUSPENDED if paused else InstanceStatus.RUNNING


def _attribute(found: WorkflowExecutionDescription, name: str) -> str | None:
    return found.typed_search_attributes.get(SearchAttributeKey.for_keyword(name))


async def _outcome(handle: WorkflowHandle[Any, Any]) -> tuple[Any, dict[str, Any] | None]:
    try:
        return await asyncio.wait_for(handle.result(), _RESULT), None
    except WorkflowFailureError as failed:
        cause = failed.cause
        if isinstance(cause, ApplicationError) and cause.details:
            return None, cause.details[0] if isinstance(cause.details[0], dict) else None
        kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
        return None, {"type": kind, "message": str(cause)}
    except (RPCError, TimeoutError):
        return None, None


def steps_of(instance: UUID, state: dict[str, Any]) -> list[StepView]:
    """The steps of the main path that have ended, in that order, and everything under way."""
    iterations = _object(state.get("iterations"))
    found: list[StepView] = []
    # By themselves they come in the order in which each of them ended for the first time.
    ended = sorted(_object(state.get("steps")).items(), key=lambda one: _times(one[1]))
    for step_id, view in ended:
        iteration = iterations.get(step_id, 1)
        found.append(
            StepView(
                id=step_record_id(instance, step_id, iteration),
                seq=len(found),
                path=step_id,
                iteration=iteration,
                step_id=step_id,
                status=StepStatus(view["status"]),
                output=view.get("output"),
                error=view.get("error"),
                started_at=view.get("startedAt"),
                completed_at=view.get("completedAt"),
            )
        )
    active = state.get("active")
    for one in active if isinstance(active, list) else ():
        found.append(
            StepView(
                id=step_record_id(instance, one["path"], one["iteration"]),
                seq=len(found),
                path=one["path"],
                iteration=one["iteration"],
                step_id=one["stepId"],
                status=StepStatus(one["status"]),
                waiting_for=one.get("waitingFor"),
            )
        )
    return found


def _times(view: dict[str, Any]) -> tuple[datetime, datetime]:
    """When a step has ended and begun."""
    began = datetime.fromisoformat(view["startedAt"])
    ended = view.get("completedAt")
    return (datetime.fromisoformat(ended) if ended else began, began)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
