"""What a run leaves behind: the facts that travel from the interpreter to the recorder.

Every record has a deterministic identity (``definitions.identity``), so a recorder may be handed
the same record any number of times, in any order: ``seq`` grows within a run, and of two records of
one thing the one with the higher ``seq`` wins. Times are workflow time, UTC. They travel as JSON
inside activity inputs, so absent fields are left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from definitions.statuses import InstanceStatus, StepStatus


class _Record(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ErrorInfo(_Record):
    """An error as expressions and records see it.

    ``step_id`` is the innermost step that failed, ``attempts`` how often its task was tried.
    """

    type: str
    code: str | None = None
    message: str = ""
    details: JsonValue = None
    step_id: str | None = None
    attempts: int | None = None

    def as_seen(self) -> dict[str, Any]:
        """The error as expressions see it: every member is there, null where it is not known.

        So ``error.code == '502'`` is simply false of an error without a code.
        """
        return self.model_dump(mode="json", by_alias=True)


class Evaluated(_Record):
    """One condition that was evaluated: its text, the values that it read, what came out.

    ``values`` maps each reference that the expression makes (``data.amount``) to its value.
    """

    expression: str
    values: dict[str, JsonValue] = Field(default_factory=dict)
    result: bool | None = None
    error: str | None = None


class Decision(_Record):
    """Why a run went from one step to another.

    ``kind``: ``sequence`` (the following step), ``condition`` (an entry of ``next``), ``end``
    (``next: []``, or the last step), ``handler`` (an error handler's condition), ``continue``
    (``onFailure``), ``global`` (the document's own ``onFailure``), ``raise`` (the failure went up),
    ``skip`` (an operator).
    """

    kind: Literal["sequence", "condition", "end", "handler", "continue", "global", "raise", "skip"]
    target: str | None = None
    evaluated: list[Evaluated] = Field(default_factory=list)


class Vote(_Record):
    """One person's decision on an approval."""

    decision: Literal["approved", "rejected"]
    approver: str
    comment: str | None = None
    payload: JsonValue = None
    decided_at: datetime


class StepRecord(_Record):
    """One iteration of one step (or of one item of a ``forEach``): the whole of what is known.

    ``wrapped``: what came out was no object, so ``output`` has it under ``value``, and it was not
    merged into ``data``. ``external``: a worker of another language did the task, so its attempts
    have no records of their own, and none of them is missing.
    """

    kind: Literal["step"] = "step"
    seq: int
    path: str
    iteration: int
    step_id: str
    task_id: str
    name: str | None = None
    status: StepStatus
    input: Any = None
    output: Any = None
    error: ErrorInfo | None = None
    started_at: datetime
    completed_at: datetime | None = None
    attempts: int | None = None
    decision: Decision | None = None
    votes: list[Vote] | None = None
    waiting_for: dict[str, JsonValue] | None = None
    compensated: bool | None = None
    wrapped: Literal[True] | None = None
    external: Literal[True] | None = None


class TransitionRecord(_Record):
    """The decision after a step whose own record its activity has written already."""

    kind: Literal["transition"] = "transition"
    seq: int
    path: str
    iteration: int
    decision: Decision


class CompensationRecord(_Record):
    """A completed step was rolled back (``compensated``), or its compensation failed."""

    kind: Literal["compensation"] = "compensation"
    seq: int
    path: str
    iteration: int
    compensated: bool


class InstanceRecord(_Record):
    """The run itself at a flush: everything of ``workflow_instances`` that changes."""

    kind: Literal["instance"] = "instance"
    seq: int
    status: InstanceStatus
    current_step_id: str | None = None
    state: dict[str, Any]
    output: Any = None
    error: dict[str, Any] | None = None
    updated_at: datetime
    completed_at: datetime | None = None


class AuditEvent(_Record):
    """An audit event: ``data`` is the exact JSON of the event schema (``definitions.audit``)."""

    kind: Literal["audit"] = "audit"
    seq: int
    event_id: UUID
    event_type: str
    occurred_at: datetime
    data: dict[str, Any]


#: What can be done to a run from outside.
Action = Literal["pause", "resume", "cancel", "skip", "rerun", "event"]


class ActionRecord(_Record):
    """Something that was done to the run from outside, and by whom.

    ``path`` and ``iteration`` name the step that it was done to, where it was one. ``data`` is what
    else is known of it: the name of an event, the step that a rerun began with.
    """

    kind: Literal["action"] = "action"
    seq: int
    event_id: UUID
    action: Action
    actor: str | None = None
    reason: str | None = None
    path: str | None = None
    iteration: int | None = None
    occurred_at: datetime
    data: dict[str, JsonValue] = Field(default_factory=dict)


class PublishedRecord(_Record):
    """An event for the outbox: ``envelope`` is the whole of it as JSON, its id ``event_id``.

    A step's is a CloudEvent. ``path`` is empty for an event of the run itself, whose envelope is
    completed from the run's row. ``after``: the ``seq`` of the step's event before this one, which
    may still be on its way to the record with another task.
    """

    kind: Literal["published"] = "published"
    seq: int
    event_id: UUID
    event_type: str
    path: str
    iteration: int
    occurred_at: datetime
    envelope: dict[str, Any]
    after: int | None = None


Record = Annotated[
    StepRecord
    | TransitionRecord
    | CompensationRecord
    | InstanceRecord
    | AuditEvent
    | ActionRecord
    | PublishedRecord,
    Field(discriminator="kind"),
]


class AttemptRecord(_Record):
    """One attempt of a task, written by the activity that made it.

    ``step`` is what the attempt knows of its step. When ``step.status`` has ended, the attempt's
    end was the step's end too.
    """

    attempt: int
    status: StepStatus
    input: Any = None
    output: Any = None
    error: ErrorInfo | None = None
    started_at: datetime
    completed_at: datetime | None = None
    worker: str | None = None
    step: StepRecord


class RunRef(_Record):
    """Which run a record belongs to.

    ``log_level``: how much of it is stored (``executionLog.level``); absent, everything is.
    """

    org_id: UUID
    instance_id: UUID
    execution_id: str
    first_run_id: str
    workflow_id: str
    version: str
    log_level: Literal["debug", "info", "error"] | None = None


class RunOrigin(_Record):
    """The run that another one came from.

    ``kind``: ``child`` (the step of ``core.workflow`` at ``path`` started it) or ``rerun`` (it goes
    on from the step at ``path`` of the earlier run).
    """

    kind: Literal["child", "rerun"]
    instance_id: UUID
    execution_id: str
    path: str
    iteration: int = 1


class RunStarted(_Record):
    """A run's first record: its row of ``workflow_instances``.

    ``definition_id`` and ``version_id`` are absent where no definition could be found.
    """

    ref: RunRef
    definition_id: UUID | None = None
    version_id: UUID | None = None
    content_hash: str | None = None
    input: Any = None
    started_at: datetime
    correlation_id: str | None = None
    trigger_event_id: UUID | None = None
    channel: str | None = None
    external_id: str | None = None
    user_id: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    origin: RunOrigin | None = None
    interpreter_version: int


class RecordBatch(_Record):
    """What one write commits: in one transaction, all or nothing."""

    ref: RunRef
    started: RunStarted | None = None
    records: list[Record] = Field(default_factory=list)
    attempt: AttemptRecord | None = None
