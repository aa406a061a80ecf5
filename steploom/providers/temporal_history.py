"""The history of an execution in the provider types' events: from our record, or from Temporal's.

A step of ours, and an activity of another workflow type, is a state. Our record has a step's
iterations, retries and branches; each iteration is entered and left once.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import EventType

from definitions.providers.types import (
    END_EVENTS,
    EXECUTION_STARTED,
    STATE_ENTERED,
    STATE_EXITED,
    STATE_FAILED,
    ExecutionEvent,
    ExecutionState,
)
from definitions.statuses import StepStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from temporalio.api.history.v1 import HistoryEvent

    from definitions.providers.types import ExecutionError
    from definitions.views import StepView

_DONE = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})


def recorded_history(
    tries: Sequence[tuple[int | None, Sequence[StepView]]],
    *,
    started: datetime,
    stopped: datetime | None,
    state: ExecutionState,
    error: ExecutionError | None,
) -> list[ExecutionEvent]:
    """The events of a run of ours, in the order in which they happened.

    Args:
        tries: The steps of each try, in the order in which they began, with the try's number; one
            that is not tried again has no number.
        started: When it began.
        stopped: When it ended, if it has.
        state: How it stands.
        error: Why it failed, if it did.
    """
    events = [event for number, steps in tries for event in _of_steps(steps, number)]
    middle = sorted(events, key=lambda event: event.timestamp)
    first = ExecutionEvent(timestamp=started, type=EXECUTION_STARTED, details={})
    last = [end_event(state, stopped, error)] if state.ended and stopped is not None else []
    return [first, *middle, *last]


def end_event(
    state: ExecutionState, stopped: datetime, error: ExecutionError | None
) -> ExecutionEvent:
    """The last event of an execution."""
    details = error.to_json() if error is not None else {}
    return ExecutionEvent(timestamp=stopped, type=END_EVENTS[state], details=details)


def _of_steps(steps: Sequence[StepView], number: int | None) -> list[ExecutionEvent]:
    """All of the steps' events, so that a stable sort by time puts them in their order.

    What happened at the same instant is left as it is here: a step is left after those inside of
    it, and before the one that comes next.
    """
    events: list[ExecutionEvent] = []
    inside: list[StepView] = []
    for step in steps:
        while inside and not step.path.startswith((f"{inside[-1].path}/", f"{inside[-1].path}#")):
            events += _leaving(inside.pop(), number)
        if step.started_at is not None:
            events.append(
                ExecutionEvent(
                    timestamp=step.started_at, type=STATE_ENTERED, details=_details(step, number)
                )
            )
        inside.append(step)
    while inside:
        events += _leaving(inside.pop(), number)
    return events


def _leaving(step: StepView, number: int | None) -> list[ExecutionEvent]:
    if step.completed_at is None or not step.status.ended:
        return []
    details = {**_details(step, number), "status": str(step.status)}
    if step.attempts:
        details["attempts"] = step.attempts
    if step.error is not None:
        details["error"] = step.error.type
        details["message"] = step.error.message
    failed = step.status in {StepStatus.FAILED, StepStatus.TIMEOUT}
    kind = STATE_FAILED if failed else STATE_EXITED
    return [ExecutionEvent(timestamp=step.completed_at, type=kind, details=details)]


def _details(step: StepView, number: int | None) -> dict[str, Any]:
    details: dict[str, Any] = {"state": step.path}
    if number is not None:
        details["attempt"] = number
    if step.task_id is not None:
        details["task"] = step.task_id
    if step.iteration > 1:
        details["iteration"] = step.iteration
    return details


_ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: ExecutionState.SUCCEEDED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: ExecutionState.FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: ExecutionState.FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: ExecutionState.TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: ExecutionState.CANCELLED,
}
_LEFT = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: (STATE_EXITED, "completed"),
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: (STATE_FAILED, "failed"),
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: (STATE_FAILED, "timeout"),
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: (STATE_EXITED, "cancelled"),
}


async def foreign_history(
    events: AsyncIterator[HistoryEvent], error: ExecutionError | None
) -> AsyncIterator[ExecutionEvent]:
    """The events of a run of another workflow type, as Temporal's come in."""
    activities: dict[int, str] = {}
    async for event in events:
        at = event.event_time.ToDatetime(tzinfo=UTC)
        found = _translated(event, activities, error)
        if found is not None:
            kind, details = found
            yield ExecutionEvent(timestamp=at, type=kind, details=details)


def _translated(
    event: HistoryEvent, activities: dict[int, str], error: ExecutionError | None
) -> tuple[str, dict[str, Any]] | None:
    kind = event.event_type
    if kind == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        return EXECUTION_STARTED, {}
    if kind == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        name = event.activity_task_scheduled_event_attributes.activity_type.name
        activities[event.event_id] = name
        return STATE_ENTERED, {"state": name, "id": str(event.event_id)}
    if (left := _LEFT.get(kind)) is not None:
        attributes = getattr(event, event.WhichOneof("attributes") or "")
        scheduled = attributes.scheduled_event_id
        name = activities.get(scheduled, "")
        return left[0], {"state": name, "id": str(scheduled), "status": left[1]}
    if (state := _ENDS.get(kind)) is not None:
        return END_EVENTS[state], error.to_json() if error is not None else {}
    return None
