"""Records of made-up runs, as short to write as a test wants them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from definitions.identity import event_id, instance_id, org_id
from definitions.records import (
    ActionRecord,
    AttemptRecord,
    AuditEvent,
    InstanceRecord,
    PublishedRecord,
    Record,
    RecordBatch,
    RunRef,
    RunStarted,
    StepRecord,
)
from definitions.statuses import InstanceStatus, StepStatus

DEFAULT = org_id("default")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def run_ref(run: str = "run-1", org: UUID = DEFAULT, **values: Any) -> RunRef:
    """A run by the id of its first run on Temporal."""
    return RunRef(
        org_id=org,
        instance_id=instance_id(run),
        execution_id=values.get("execution_id", f"exec-{run}"),
        first_run_id=run,
        workflow_id=values.get("workflow_id", "order"),
        version=values.get("version", "1.0.0"),
    )


def started(ref: RunRef, seconds: float = 0, **values: Any) -> RecordBatch:
    """A run's first record."""
    return RecordBatch(
        ref=ref,
        started=RunStarted(ref=ref, started_at=at(seconds), interpreter_version=1, **values),
    )


def step(seq: int, status: StepStatus = StepStatus.ACTIVE, **values: Any) -> StepRecord:
    """A step, ended at ``seq`` seconds after noon if its status says that it has ended."""
    return StepRecord(
        seq=seq,
        path=values.pop("path", "charge"),
        iteration=values.pop("iteration", 1),
        step_id=values.pop("step_id", "charge"),
        task_id="demo.charge",
        status=status,
        started_at=at(values.pop("started", 0)),
        completed_at=at(seq) if status.ended else None,
        **values,
    )


def attempt(
    ref: RunRef, number: int, status: StepStatus, of: StepRecord, **values: Any
) -> RecordBatch:
    """What an attempt writes at its start (``active``) or at its end."""
    return RecordBatch(
        ref=ref,
        attempt=AttemptRecord(
            attempt=number,
            status=status,
            started_at=at(number),
            completed_at=at(number + 0.5) if status.ended else None,
            worker="worker-1",
            step=of.model_copy(update={"attempts": number}),
            **values,
        ),
    )


def facts(ref: RunRef, *records: Record) -> RecordBatch:
    """What the run itself has to say."""
    return RecordBatch(ref=ref, records=list(records))


def flush(
    seq: int, status: InstanceStatus = InstanceStatus.RUNNING, **values: Any
) -> InstanceRecord:
    """The run at a flush."""
    return InstanceRecord(
        seq=seq,
        status=status,
        state=values.pop("state", {"input": {}, "steps": {}, "variables": {}}),
        updated_at=at(seq),
        completed_at=at(seq) if status.ended else None,
        **values,
    )


def audit(ref: RunRef, seq: int, event_type: str, **workflow: Any) -> AuditEvent:
    """An audit event with these members of ``data.workflow``."""
    return AuditEvent(
        seq=seq,
        event_id=event_id(ref.org_id, ref.first_run_id, event_type),
        event_type=event_type,
        occurred_at=at(seq),
        data={
            "version": "1.0",
            "service": "workflow",
            "event_type": event_type,
            "timestamp": "2026-01-01T12:00:00Z",
            "data": {
                "workflow": {
                    "workflow_id": ref.workflow_id,
                    "execution_id": ref.execution_id,
                    "approval_required": False,
                    **workflow,
                }
            },
        },
    )


def action(ref: RunRef, seq: int, kind: str = "pause", **values: Any) -> ActionRecord:
    """Something that a person did to the run."""
    return ActionRecord(
        seq=seq,
        event_id=event_id(ref.org_id, ref.first_run_id, f"action.{seq}"),
        action=kind,
        actor="manager@example.com",
        occurred_at=at(seq),
        **values,
    )


def published(ref: RunRef, seq: int, event_type: str = "order.shipped") -> PublishedRecord:
    """An event that a step publishes."""
    identity = event_id(ref.org_id, ref.first_run_id, event_type, path="tell", iteration=seq)
    return PublishedRecord(
        seq=seq,
        event_id=identity,
        event_type=event_type,
        path="tell",
        iteration=seq,
        occurred_at=at(seq),
        envelope={"specversion": "1.0", "id": str(identity), "type": event_type, "data": {"n": 1}},
    )
