"""What the world is told of every run: that it was triggered, and how it ended.

These are events for the outbox in the envelope of ``workflow_events``. What stands in a run's row
is added where they are written (``record_outbox_events()``), in the same transaction; what the
record of an end says alone is added here. Neither has what a run was given, nor what it gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.identity import event_id
from definitions.records import PublishedRecord
from definitions.statuses import InstanceStatus, moment
from workflow_events import (
    EventSource,
    EventType,
    WorkflowEvent,
    WorkflowEventMetadata,
    WorkflowEventPayload,
)

if TYPE_CHECKING:
    from datetime import datetime

    from definitions.records import InstanceRecord, RunRef, RunStarted

#: Characters of an error's message that are told; the record has the whole.
MAX_MESSAGE = 1000
#: Outcomes that have a name of their own here; all others are called as in ``statuses``.
_OUTCOMES = {"succeeded": "success"}


def triggered(started: RunStarted, *, environment: str) -> PublishedRecord:
    """The event of a run's beginning."""
    return _event(
        started.ref,
        EventType.WORKFLOW_TRIGGERED,
        "triggered",
        seq=0,
        at=started.started_at,
        data={},
        environment=environment,
    )


def ended(ref: RunRef, record: InstanceRecord, *, environment: str) -> PublishedRecord:
    """The event of a run's end: ``workflow.completed`` on success, else ``workflow.failed``.

    A run has one of them, whoever writes its end and however often.
    """
    status = InstanceStatus(record.status)
    error = record.error or {}
    outcome = moment(status, timed_out=error.get("type") == "WorkflowTimeout").execution
    data: dict[str, Any] = {"outcome": _OUTCOMES.get(outcome, outcome)}
    kind = EventType.WORKFLOW_COMPLETED
    if status is not InstanceStatus.COMPLETED:
        kind = EventType.WORKFLOW_FAILED
        data["error"] = _told(error) if error else None
    return _event(
        ref,
        kind,
        "ended",
        seq=record.seq,
        at=record.completed_at or record.updated_at,
        data=data,
        environment=environment,
    )


def _told(error: dict[str, Any]) -> dict[str, Any]:
    """An error without its details, which may be anything."""
    return {
        "type": error.get("type"),
        "code": error.get("code"),
        "message": str(error.get("message") or "")[:MAX_MESSAGE],
        "step_id": error.get("stepId"),
    }


def _event(
    ref: RunRef,
    kind: EventType,
    name: str,
    *,
    seq: int,
    at: datetime,
    data: dict[str, Any],
    environment: str,
) -> PublishedRecord:
    identity = event_id(ref.org_id, ref.first_run_id, f"published.workflow.{name}")
    event = WorkflowEvent(
        event_id=identity,
        event_type=kind,
        timestamp=at,
        source=EventSource.STEPLOOM,
        workflow_id=ref.workflow_id,
        workflow_run_id=ref.execution_id,
        payload=WorkflowEventPayload(data=data),
        metadata=WorkflowEventMetadata(environment=environment),
    )
    return PublishedRecord(
        seq=seq,
        event_id=identity,
        event_type=kind.value,
        path="",
        iteration=1,
        occurred_at=at,
        envelope=event.model_dump(mode="json"),
    )
