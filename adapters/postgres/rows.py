"""A batch of records as the rows that its write hands to Postgres.

A row is a key and one JSON object, so that a group of batches becomes one array for each statement
by joining texts. Everything passes ``storable``: what Postgres cannot keep is replaced, and never
costs the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from adapters.postgres.database import dump_json
from definitions.identity import step_record_id
from definitions.jsonvalues import storable
from definitions.records import (
    ActionRecord,
    AttemptRecord,
    AuditEvent,
    CompensationRecord,
    InstanceRecord,
    PublishedRecord,
    RecordBatch,
    RunOrigin,
    RunStarted,
    StepRecord,
    TransitionRecord,
)
from definitions.statuses import InstanceStatus, StepStatus
from definitions.tasks import NOT_ACTIVITIES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from definitions.jsontypes import Json, JsonObject
    from definitions.records import ErrorInfo

#: The longest text of the columns that the specification calls VARCHAR(255).
_SHORT = 255

_Key: TypeAlias = tuple[str | int, ...]


class Row(NamedTuple):
    """One JSON object for one statement. No statement is given the same key twice."""

    key: _Key
    text: str


@dataclass(slots=True)
class BatchRows:
    """The rows of one batch, by the statement that takes them (``adapters.postgres.statements``).

    ``runs``: which run the batch belongs to. ``retried``: attempts beyond the first. ``ended``:
    steps whose end was decided by the run, not by an attempt. ``untold``: those of them whose
    attempts may have left no trace.
    """

    org_id: UUID
    instance_id: UUID
    runs: list[Row] = field(default_factory=list)
    started: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    retried: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    untold: list[Row] = field(default_factory=list)
    flushes: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    actions: list[Row] = field(default_factory=list)
    published: list[Row] = field(default_factory=list)
    size: int = 0

    def add(self, rows: list[Row], key: _Key, values: JsonObject) -> None:
        """Adds a row to one of the lists; absent values are left out."""
        kept, _ = storable({name: value for name, value in values.items() if value is not None})
        text = dump_json(kept)
        rows.append(Row(key, text))
        self.size += len(text)


def layers(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows in as few lists as it takes for no list to hold a key twice; later ones come later.

    Nearly always one list. Each is sorted by its keys, so that two writers lock rows in one order.
    """
    seen: dict[_Key, int] = {}
    result: list[list[Row]] = []
    for row in rows:
        index = seen.get(row.key, 0)
        seen[row.key] = index + 1
        if index == len(result):
            result.append([])
        result[index].append(row)
    for layer in result:
        layer.sort(key=_sort_key)
    return result


def _sort_key(row: Row) -> _Key:
    return row.key


def rows_of(batch: RecordBatch) -> BatchRows:
    """All rows of a batch."""
    ref = batch.ref
    rows = BatchRows(org_id=ref.org_id, instance_id=ref.instance_id)
    key = (str(ref.instance_id),)
    run = {
        "id": str(ref.instance_id),
        "workflow_id": ref.workflow_id,
        "version": ref.version,
        "execution_id": ref.execution_id,
        "first_run_id": ref.first_run_id,
    }
    if batch.started is None:
        rows.add(rows.runs, key, {**run, "started_at": _earliest(batch)})
    else:
        rows.add(rows.started, key, {**run, **_started(batch.started)})
    for record in batch.records:
        match record:
            case StepRecord():
                _add_step(rows, record, from_attempt=None)
            case TransitionRecord() | CompensationRecord():
                _add_afterthought(rows, record)
            case InstanceRecord():
                rows.add(rows.flushes, key, {"id": run["id"], **_flush(record)})
            case AuditEvent():
                rows.add(rows.events, (str(record.event_id),), _event(rows, record))
            case ActionRecord():
                rows.add(rows.actions, (str(record.event_id),), _action(rows, record))
            case PublishedRecord():
                values = {**_published(rows, record), "execution_id": ref.execution_id}
                rows.add(rows.published, (str(record.event_id),), values)
    if batch.attempt is not None:
        _add_attempt(rows, batch.attempt)
        _add_step(rows, batch.attempt.step, from_attempt=batch.attempt.attempt)
    return rows


def _earliest(batch: RecordBatch) -> str | None:
    times = [record.started_at for record in batch.records if isinstance(record, StepRecord)]
    times += [record.updated_at for record in batch.records if isinstance(record, InstanceRecord)]
    told = (AuditEvent, ActionRecord, PublishedRecord)
    times += [record.occurred_at for record in batch.records if isinstance(record, told)]
    if batch.attempt is not None:
        times += [batch.attempt.started_at, batch.attempt.step.started_at]
    return _time(min(times, default=None))


def _started(started: RunStarted) -> JsonObject:
    return {
        "workflow_definition_id": _id(started.definition_id),
        "definition_version_id": _id(started.version_id),
        "content_hash": started.content_hash,
        "input": started.input,
        "started_at": _time(started.started_at),
        "correlation_id": _short(started.correlation_id),
        "trigger_event_id": _id(started.trigger_event_id),
        "channel": _short(started.channel),
        "external_id": _short(started.external_id),
        "user_id": _short(started.user_id),
        "idempotency_key": _short(started.idempotency_key),
        "request_hash": started.request_hash,
        "metadata": started.metadata,
        "tags": started.tags,
        "interpreter_version": started.interpreter_version,
        **(_origin(started.origin) if started.origin is not None else {}),
    }


def _origin(origin: RunOrigin) -> JsonObject:
    return {
        "origin_kind": origin.kind,
        "origin_instance_id": str(origin.instance_id),
        "origin_execution_id": origin.execution_id,
        "origin_path": origin.path,
        "origin_iteration": origin.iteration,
    }


def _flush(record: InstanceRecord) -> JsonObject:
    return {
        "seq": record.seq,
        "status": InstanceStatus(record.status).value,
        "current_step_id": _short(record.current_step_id),
        "state": record.state,
        "output": record.output,
        "error": record.error,
        "updated_at": _time(record.updated_at),
        "completed_at": _time(record.completed_at),
    }


def _event(rows: BatchRows, record: AuditEvent) -> JsonObject:
    return {
        "event_id": str(record.event_id),
        "event_timestamp": _time(record.occurred_at),
        "event_type": record.event_type,
        "event_data": record.data,
        "instance_id": str(rows.instance_id),
        "seq": record.seq,
    }


def _action(rows: BatchRows, record: ActionRecord) -> JsonObject:
    return {
        "event_id": str(record.event_id),
        "instance_id": str(rows.instance_id),
        "seq": record.seq,
        "action": record.action,
        "actor": _short(record.actor),
        "reason": record.reason,
        "path": record.path,
        "iteration": record.iteration,
        "occurred_at": _time(record.occurred_at),
        "data": record.data,
    }


def _published(rows: BatchRows, record: PublishedRecord) -> JsonObject:
    return {
        "event_id": str(record.event_id),
        "instance_id": str(rows.instance_id),
        "seq": record.seq,
        "event_type": _short(record.event_type),
        "path": record.path,
        "iteration": record.iteration,
        "envelope": record.envelope,
        "occurred_at": _time(record.occurred_at),
    }


def _add_step(rows: BatchRows, record: StepRecord, *, from_attempt: int | None) -> None:
    status = StepStatus(record.status)
    place = _place(rows, record.path, record.iteration)
    key = (place["instance_id"], record.path, record.iteration)
    values = {
        **place,
        "id": str(step_record_id(rows.instance_id, record.path, record.iteration)),
        "from_attempt": from_attempt,
        "seq": record.seq,
        "first_seq": record.seq,
        "step_id": record.step_id,
        "task_id": record.task_id,
        "name": record.name,
        "status": status.value,
        "input": record.input,
        "output": record.output,
        "error": _error(record.error),
        "attempts": max(record.attempts or 0, from_attempt or 0),
        "decision": record.decision.to_json() if record.decision else None,
        "decision_seq": record.seq if record.decision else None,
        "votes": [vote.to_json() for vote in record.votes] if record.votes else None,
        "waiting_for": record.waiting_for,
        "compensated": record.compensated,
        "wrapped": record.wrapped,
        "started_at": _time(record.started_at),
        "completed_at": _time(record.completed_at),
    }
    rows.add(rows.steps, key, values)
    if status.ended and from_attempt is None:
        rows.add(rows.ended, key, {**place, "completed_at": _time(record.completed_at)})
        if record.attempts and not record.external and record.task_id not in NOT_ACTIVITIES:
            # Attempts that left no trace, the last one included, get their rows now.
            after = {"attempt": record.attempts + 1, "started_at": _time(record.completed_at)}
            rows.add(rows.untold, (*key, record.attempts + 1), {**place, **after})


def _add_afterthought(rows: BatchRows, record: TransitionRecord | CompensationRecord) -> None:
    """What is said of a step whose own record was written by its activity.

    Should that not be there yet, this makes a row that every record of the step then overrules.
    """
    place = _place(rows, record.path, record.iteration)
    values = {
        **place,
        "id": str(step_record_id(rows.instance_id, record.path, record.iteration)),
        "seq": -1,
        "first_seq": record.seq,
        "step_id": record.path.rpartition("/")[2].partition("#")[0],
        "status": StepStatus.PENDING.value,
        "attempts": 0,
    }
    if isinstance(record, TransitionRecord):
        values |= {"decision": record.decision.to_json(), "decision_seq": record.seq}
    else:
        values["compensated"] = record.compensated
    rows.add(rows.steps, (place["instance_id"], record.path, record.iteration), values)


def _add_attempt(rows: BatchRows, record: AttemptRecord) -> None:
    place = {
        **_place(rows, record.step.path, record.step.iteration),
        "attempt": record.attempt,
        "started_at": _time(record.started_at),
    }
    key = (place["instance_id"], record.step.path, record.step.iteration, record.attempt)
    values = {
        **place,
        "status": StepStatus(record.status).value,
        "input": record.input,
        "output": record.output,
        "error": _error(record.error),
        "worker": record.worker,
        "completed_at": _time(record.completed_at),
    }
    rows.add(rows.attempts, key, values)
    if record.attempt > 1:
        rows.add(rows.retried, key, place)


def _place(rows: BatchRows, path: str, iteration: int) -> JsonObject:
    return {"instance_id": str(rows.instance_id), "path": path, "iteration": iteration}


def _error(info: ErrorInfo | None) -> Json:
    # Not in JSON mode: that turns a NaN in the details into null before it can be flagged.
    return info.model_dump(by_alias=True, exclude_none=True) if info is not None else None


def _time(value: datetime | None) -> str | None:
    return value.isoformat() if value is not None else None


def _id(value: UUID | None) -> str | None:
    return str(value) if value is not None else None


def _short(value: str | None) -> str | None:
    return value[:_SHORT] if value is not None else None
