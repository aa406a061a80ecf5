"""A batch of records as the rows that its write hands to Postgres.

A row is a key and one JSON object, so that a group of batches becomes one JSON text by joining
texts. Everything passes ``storable``: what Postgres cannot keep is replaced, and never costs the
record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from adapters.postgres.database import dump_json
from definitions.identity import event_id, step_record_id
from definitions.jsonvalues import MAX_DEPTH, storable
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
    Vote,
    WebhookRecord,
)
from definitions.statuses import InstanceStatus, StepStatus, moment
from definitions.tasks import NOT_ACTIVITIES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from definitions.jsontypes import Json, JsonObject
    from definitions.records import ErrorInfo

#: How U+0000 and surrogates, lone or in pairs, stand in JSON; pairs are looked at closely, too.
_SUSPECT = re.compile(r"\\u(?:0000|d[89a-f])")
#: The longest text of the columns that the specification calls VARCHAR(255).
_SHORT = 255

_Key: TypeAlias = tuple[str | int, ...]


class Row(NamedTuple):
    """One JSON object. No list that is handed over has the same key twice."""

    key: _Key
    text: str


@dataclass(slots=True)
class BatchRows:
    """The rows of one batch, by their kind in ``record_execution()``.

    ``run``: which run the batch belongs to, unless it begins it. ``retried``: attempts beyond the
    first. ``ended``:
    steps whose end was decided by the run, not by an attempt. ``untold``: those of them whose
    attempts may have left no trace. ``events``: those of the run, of people, and from outside.
    ``payloads``: the big values that the run may read.
    """

    org_id: UUID
    instance_id: UUID
    first_run_id: str
    starts: list[Row] = field(default_factory=list)
    run: JsonObject | None = None
    attempts: list[Row] = field(default_factory=list)
    retried: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    untold: list[Row] = field(default_factory=list)
    flushes: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    published: list[Row] = field(default_factory=list)
    payloads: list[Row] = field(default_factory=list)
    size: int = 0

    def add(self, rows: list[Row], key: _Key, values: JsonObject) -> None:
        """Adds a row to one of the lists; absent values are left out."""
        text = _text({name: value for name, value in values.items() if value is not None})
        rows.append(Row(key, text))
        self.size += len(text)

    def runs(self) -> list[Row]:
        """The row of the run, for one that may not be there yet."""
        if self.run is None:
            return []
        return [Row((str(self.instance_id),), _text(self.run))]

    def event(
        self, event_type: str, identity: UUID | None, occurred_at: datetime, **values: Json
    ) -> None:
        """Adds an event of the execution; without an id of its own it gets the run's."""
        identity = identity or self.event_id(event_type)
        told = {
            "instance_id": str(self.instance_id),
            "event_id": str(identity),
            "event_type": event_type,
            "occurred_at": _time(occurred_at),
            **values,
        }
        self.add(self.events, (str(identity),), told)

    def event_id(
        self, event_type: str, path: str = "", iteration: int = 0, attempt: int = 0
    ) -> UUID:
        """The id of an event of this run."""
        return event_id(
            self.org_id,
            self.first_run_id,
            event_type,
            path=path,
            iteration=iteration,
            attempt=attempt,
        )


def _text(values: JsonObject) -> str:
    """An object as JSON text that Postgres can keep."""
    try:
        text = dump_json(values)
    except (ValueError, TypeError, RecursionError):
        return dump_json(storable(values)[0])
    # Hardly ever is there anything to replace, and a look at the text tells.
    if _SUSPECT.search(text) is None and text.count("{") + text.count("[") <= MAX_DEPTH:
        return text
    return dump_json(storable(values)[0])


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
    rows = BatchRows(ref.org_id, ref.instance_id, ref.first_run_id)
    key = (str(ref.instance_id),)
    run = {
        "id": str(ref.instance_id),
        "workflow_id": ref.workflow_id,
        "version": ref.version,
        "execution_id": ref.execution_id,
        "first_run_id": ref.first_run_id,
    }
    if batch.started is None:
        rows.run = {**run, "started_at": _earliest(batch)}
    else:
        rows.add(rows.starts, key, {**run, **_started(batch.started)})
        begun = batch.started
        rows.event("workflow.started", None, begun.started_at, seq=0, actor=_short(begun.user_id))
    _add_payloads(rows, batch)
    for record in batch.records:
        match record:
            case StepRecord():
                _add_step(rows, record, from_attempt=None)
            case TransitionRecord() | CompensationRecord():
                _add_afterthought(rows, record)
            case InstanceRecord():
                _add_flush(rows, record)
            case AuditEvent():
                rows.add(rows.audit, (str(record.event_id),), _audit(rows, record))
            case ActionRecord():
                _add_action(rows, record)
            case PublishedRecord():
                values = {**_published(rows, record), "execution_id": ref.execution_id}
                rows.add(rows.published, (str(record.event_id),), values)
            case WebhookRecord():
                kind, at = f"webhook.{record.outcome}", record.occurred_at
                rows.event(kind, None, at, seq=record.seq, event_data=record.data)
    if batch.attempt is not None:
        _add_attempt(rows, batch.attempt)
        _add_step(rows, batch.attempt.step, from_attempt=batch.attempt.attempt)
    return rows


def _add_payloads(rows: BatchRows, batch: RecordBatch) -> None:
    found = [*((batch.started and batch.started.payloads) or ())]
    found += (batch.attempt and batch.attempt.payloads) or ()
    run = str(rows.instance_id)
    for one in dict.fromkeys(found):
        rows.add(
            rows.payloads,
            (run, one.sha256),
            {"instance_id": run, "sha256": one.sha256, "size": one.size},
        )


def _earliest(batch: RecordBatch) -> str | None:
    times = [record.started_at for record in batch.records if isinstance(record, StepRecord)]
    times += [record.updated_at for record in batch.records if isinstance(record, InstanceRecord)]
    told = (AuditEvent, ActionRecord, PublishedRecord, WebhookRecord)
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
        "config_snapshot": started.config_snapshot,
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


def _add_flush(rows: BatchRows, record: InstanceRecord) -> None:
    status = InstanceStatus(record.status)
    timed_out = (record.error or {}).get("type") == "WorkflowTimeout"
    traced = moment(status, timed_out=timed_out).trace
    key = str(rows.instance_id)
    rows.add(rows.flushes, (key,), {"id": key, "trace_status": traced, **_flush(record)})
    if status.ended:
        rows.event(
            f"workflow.{traced}", None, record.completed_at or record.updated_at, seq=record.seq
        )


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


def _audit(rows: BatchRows, record: AuditEvent) -> JsonObject:
    return {
        "event_id": str(record.event_id),
        "event_timestamp": _time(record.occurred_at),
        "event_type": record.event_type,
        "event_data": record.data,
        "instance_id": str(rows.instance_id),
        "seq": record.seq,
    }


def _add_action(rows: BatchRows, record: ActionRecord) -> None:
    told: JsonObject = {"data": record.data}
    if record.reason is not None:
        told["reason"] = record.reason
    rows.event(
        f"action.{record.action}",
        record.event_id,
        record.occurred_at,
        seq=record.seq,
        path=record.path,
        iteration=record.iteration,
        actor=_short(record.actor),
        event_data=told,
    )


def _published(rows: BatchRows, record: PublishedRecord) -> JsonObject:
    return {
        "event_id": str(record.event_id),
        "instance_id": str(rows.instance_id),
        "seq": record.seq,
        "after_seq": record.after,
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
        "started_event": str(rows.event_id("step.started", record.path, record.iteration)),
        "status_event": _status_event(rows, record, status),
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
    for number, vote in enumerate(record.votes or (), 1):
        _add_vote(rows, record, number, vote)
    if status.ended and from_attempt is None:
        end = {**place, "seq": record.seq, "at": _time(record.completed_at)}
        rows.add(rows.ended, key, end)
        if record.attempts and not record.external and record.task_id not in NOT_ACTIVITIES:
            # Attempts that left no trace, the last one included, get their rows now.
            after = record.attempts + 1
            rows.add(rows.untold, (*key, after), {**end, "attempt": after})


def _status_event(rows: BatchRows, record: StepRecord, status: StepStatus) -> str | None:
    if not (status.ended or status is StepStatus.WAITING):
        return None
    return str(rows.event_id(f"step.{status.value}", record.path, record.iteration))


def _add_vote(rows: BatchRows, record: StepRecord, number: int, vote: Vote) -> None:
    kind = f"approval.{vote.decision}"
    told = {"comment": vote.comment, "payload": vote.payload}
    rows.event(
        kind,
        rows.event_id(kind, record.path, record.iteration, number),
        vote.decided_at,
        seq=record.seq,
        path=record.path,
        iteration=record.iteration,
        actor=_short(vote.approver),
        event_data={name: value for name, value in told.items() if value is not None},
    )


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
        "seq": record.step.seq,
    }
    status = StepStatus(record.status)
    key = (place["instance_id"], record.step.path, record.step.iteration, record.attempt)
    values = {
        **place,
        "event_id": _attempt_event(rows, record, status),
        "status": status.value,
        "input": record.input,
        "output": record.output,
        "error": _error(record.error),
        "worker": record.worker,
        "started_at": _time(record.started_at),
        "completed_at": _time(record.completed_at),
    }
    rows.add(rows.attempts, key, values)
    if record.replaced:
        path, iteration, number = record.step.path, record.step.iteration, record.attempt
        rows.event(
            "output.replaced",
            rows.event_id("output.replaced", path, iteration, number),
            record.completed_at or record.started_at,
            seq=record.step.seq,
            path=path,
            iteration=iteration,
            attempt=number,
        )
    if record.attempt > 1:
        rows.add(rows.retried, key, {**place, "at": _time(record.started_at)})


def _attempt_event(rows: BatchRows, record: AttemptRecord, status: StepStatus) -> str | None:
    """None while it runs, and where its success is the step's: at the first attempt."""
    if not status.ended or (status is StepStatus.COMPLETED and record.attempt == 1):
        return None
    step = record.step
    kind = f"attempt.{status.value}"
    return str(rows.event_id(kind, step.path, step.iteration, record.attempt))


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
