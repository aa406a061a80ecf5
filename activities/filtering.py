"""What of a record is stored: as much as the definition's ``executionLog.level`` says, redacted.

A recorder around the real one, so that nothing can be written past it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.configuration import stored_config
from definitions.records import (
    ActionRecord,
    AuditEvent,
    CompensationRecord,
    InstanceRecord,
    PublishedRecord,
    StepRecord,
    TransitionRecord,
    WebhookRecord,
)
from definitions.statuses import StepStatus

if TYPE_CHECKING:
    from definitions.ports import Recorder
    from definitions.records import (
        AttemptRecord,
        Decision,
        ErrorInfo,
        Record,
        RecordBatch,
        RunStarted,
        Vote,
    )
    from definitions.redaction import Redactor

#: What is left out at the level ``error``: what these steps were given, and what they gave.
_WELL = frozenset(
    {
        StepStatus.PENDING,
        StepStatus.ACTIVE,
        StepStatus.WAITING,
        StepStatus.COMPLETED,
        StepStatus.SKIPPED,
    }
)


class FilteringRecorder:
    """Hands on what may be stored of each batch."""

    def __init__(self, recorder: Recorder, redactor: Redactor) -> None:
        self._recorder = recorder
        self._redactor = redactor

    async def write(self, batch: RecordBatch) -> None:
        """As the recorder inside."""
        await self._recorder.write(self.filtered(batch))

    def filtered(self, batch: RecordBatch) -> RecordBatch:
        """A batch as it may be stored."""
        level = batch.ref.log_level or "debug"
        return batch.model_copy(
            update={
                "started": None if batch.started is None else self._started(batch.started),
                "records": [self._record(record, level) for record in batch.records],
                "attempt": None if batch.attempt is None else self._attempt(batch.attempt, level),
            }
        )

    def _started(self, started: RunStarted) -> RunStarted:
        # The idempotency key stays what it is: by it a start is found again.
        return started.model_copy(
            update={
                "input": self._redactor.stored(started.input),
                "correlation_id": self._text(started.correlation_id),
                "external_id": self._text(started.external_id),
                "user_id": self._text(started.user_id),
                "tags": self._redactor.stored(started.tags),
                "config_snapshot": stored_config(started.config_snapshot, self._redactor),
                "metadata": self._redactor.stored(started.metadata),
            }
        )

    def _record(self, record: Record, level: str) -> Record:
        stored, changes = self._redactor.stored, dict[str, Any]()
        match record:
            case StepRecord():
                return self._step(record, level)
            case TransitionRecord():
                changes = {"decision": self._decision(record.decision, level)}
            case InstanceRecord():
                changes = {
                    "state": self._state(record.state, level),
                    "output": stored(record.output),
                    "error": stored(record.error),
                }
            case ActionRecord():
                changes = {
                    "reason": self._text(record.reason),
                    "actor": self._text(record.actor),
                    "data": stored(record.data),
                }
            case AuditEvent():
                changes = {"data": self._redactor.without_secrets(record.data)}
            case PublishedRecord():
                # It is going to be sent, so its members are what the author meant; secrets are not.
                changes = {"envelope": self._redactor.without_secrets(record.envelope)}
            case WebhookRecord():
                changes = {"data": stored(record.data)}
            case CompensationRecord():
                pass
        return record.model_copy(update=changes) if changes else record

    def _step(self, record: StepRecord, level: str) -> StepRecord:
        stored = self._redactor.stored
        bare = level == "error" and record.status in _WELL
        return record.model_copy(
            update={
                "input": None if bare else stored(record.input),
                "output": None if bare else stored(record.output),
                "error": self._error(record.error),
                "decision": self._decision(record.decision, level),
                "votes": record.votes and [self._vote(vote) for vote in record.votes],
                "waiting_for": stored(record.waiting_for),
            }
        )

    def _vote(self, vote: Vote) -> Vote:
        return vote.model_copy(
            update={
                "approver": self._redactor.text(vote.approver),
                "comment": self._text(vote.comment),
                "payload": self._redactor.stored(vote.payload),
            }
        )

    def _text(self, text: str | None) -> str | None:
        return None if text is None else self._redactor.text(text)

    def _attempt(self, record: AttemptRecord, level: str) -> AttemptRecord:
        bare = level == "error" and record.status in _WELL
        return record.model_copy(
            update={
                "input": None if bare else self._redactor.stored(record.input),
                "output": None if bare else self._redactor.stored(record.output),
                "error": self._error(record.error),
                "step": self._step(record.step, level),
            }
        )

    def _error(self, error: ErrorInfo | None) -> ErrorInfo | None:
        if error is None:
            return None
        details = self._redactor.stored(error.details)
        told = {
            "type": self._redactor.text(error.type),
            "code": self._text(error.code),
            "message": self._redactor.text(error.message),
        }
        if details is error.details and all(told[name] == getattr(error, name) for name in told):
            return error
        return error.model_copy(update={"details": details, **told})

    def _decision(self, decision: Decision | None, level: str) -> Decision | None:
        if decision is None or not decision.evaluated:
            return decision
        evaluated = [
            one.model_copy(
                update={
                    "values": {name: self._read(name, value) for name, value in one.values.items()}
                    if level == "debug"
                    else {},
                    "error": self._text(one.error),
                }
            )
            for one in decision.evaluated
        ]
        return decision.model_copy(update={"evaluated": evaluated})

    def _read(self, name: str, value: Any) -> Any:
        """A value that a condition read: its name is a path, of which the last part counts."""
        last = name.rpartition(".")[2]
        return self._redactor.stored({last: value})[last]

    def _state(self, state: dict[str, Any], level: str) -> dict[str, Any]:
        if level == "error":
            steps = {
                name: view if view.get("status") not in _WELL else _without_output(view)
                for name, view in state.get("steps", {}).items()
            }
            state = {**state, "steps": steps}
        kept: dict[str, Any] = self._redactor.stored(state)
        return kept


def _without_output(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name != "output"}
