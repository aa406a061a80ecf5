"""What the workflow hands to its activities, and what they answer.

These are the payloads of Temporal's history, so their shape only ever grows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from definitions.records import ErrorInfo, Record, RunOrigin, RunRef, StepRecord
from definitions.requirements import StepRequirements
from definitions.tasks import TaskSpec


class _Payload(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    def to_json(self) -> dict[str, Any]:
        """The payload as JSON values, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class TaskEnvelope(_Payload):
    """Goes to a task's activity beside the task's input (the first argument).

    ``record``, ``ended_seq`` and ``final`` are the interpreter's; ``records`` are the facts
    that were kept and travel with this task. Limits are in seconds, absolute times in UTC;
    ``output_limit`` is how many bytes of output the run has room for. ``attempts_before``: so many
    attempts were made already, which Temporal knows nothing of.
    """

    ref: RunRef
    record: StepRecord
    ended_seq: int
    final: bool
    idempotency_key: str
    attempt_timeout: float | None = None
    deadline: datetime | None = None
    own_heartbeats: bool = False
    output_limit: int | None = None
    attempts_before: int = 0
    records: list[Record] = Field(default_factory=list)


class FailureDetails(_Payload):
    """The first detail of the ``ApplicationError`` that a failed task answers with."""

    code: str | None = None
    details: JsonValue = None
    attempt: int | None = None


class SegmentRequest(_Payload):
    """Where a run stands that has come to a local task: what a segment goes on from.

    ``state`` is the whole of it, as JSON text, in which ``document`` and ``tasks`` are what the run
    is pinned to, and ``room`` the bytes that may still be added. ``now`` is the run's own time.
    ``records`` are the facts that were kept and travel with the first task.
    """

    state: str
    room: int
    document: dict[str, Any]
    tasks: list[TaskSpec]
    now: datetime
    records: list[Record] = Field(default_factory=list)


class Answer(_Payload):
    """How an attempt of a task ended in a segment: the first one of a step, by its path.

    ``at`` is the run's own time then. ``again``: it failed, and its policy wants another attempt.
    """

    path: str
    iteration: int
    ending: Literal["completed", "failed", "again", "cancelled"]
    at: datetime
    output: JsonValue = None
    error: ErrorInfo | None = None


class SegmentAnswer(_Payload):
    """What a segment has done, in the order in which the run comes to it.

    ``ended``: the run comes to its end after the last answer, and that is on record.
    """

    answers: list[Answer]
    ended: bool = False


class WebhookCall(_Payload):
    """Whom a run's end is told. The rest is on record by then.

    ``url`` may refer to secrets. ``seq`` is the number of what is recorded of the call.
    """

    ref: RunRef
    org: str
    url: str
    seq: int


class ChildMemo(_Payload):
    """Where a child run came from, and how many runs are above it."""

    depth: int = 0
    origin: RunOrigin | None = None


class ReusedStep(_Payload):
    """A completed step of an earlier run that the rollback of a rerun would undo."""

    step_id: str
    path: str
    iteration: int
    output: dict[str, Any]


class ReusedState(_Payload):
    """What a rerun takes over from the run before it: where it stood when ``step_id`` began."""

    step_id: str
    data: dict[str, Any]
    variables: dict[str, Any]
    steps: dict[str, dict[str, Any]]
    error: dict[str, Any] | None = None
    completed: list[ReusedStep] = Field(default_factory=list)
    handled_globally: bool = False


class ResolveRequest(_Payload):
    """What a run was started with.

    ``origin``: the step that started it, where one did. ``problem`` says why ``start`` could not
    even be decoded. ``failed``: the run was resolved and then could not be set up; all that is left
    is to have that on record. ``repeated``: something came before this is asked, perhaps a first
    try of the run's whole beginning.
    """

    start: Any = None
    problem: str | None = None
    failed: ErrorInfo | None = None
    origin: RunOrigin | None = None
    execution_id: str
    first_run_id: str
    started_at: datetime
    interpreter_version: int
    repeated: bool = False


class RecordedEnd(_Payload):
    """How a run has ended on record, its values as they were stored: redacted ones stay so."""

    status: str
    output: JsonValue = None
    error: dict[str, Any] | None = None
    ended_at: datetime


class ResolvedRun(_Payload):
    """What a run is pinned to. With ``error``, the run has failed and that is on record already.

    ``config``: its configuration, as expressions see it. ``webhook_url``: whom its end is told.
    ``requirements``: what operators have said of the fields of its steps, by their ids.
    ``reused``: it goes on where an earlier run stood. ``depth``: how many runs are above it.
    ``segments``: local tasks in a row are run in one activity. ``ended``: it has ended on record
    already, in a try that Temporal did not take.
    """

    error: ErrorInfo | None = None
    org_id: UUID | None = None
    org: str | None = None
    instance_id: UUID | None = None
    workflow_id: str | None = None
    version: str | None = None
    content_hash: str | None = None
    document: dict[str, Any] | None = None
    tasks: list[TaskSpec] = Field(default_factory=list)
    input: dict[str, Any] | None = None
    correlation_id: str | None = None
    config: dict[str, Any] | None = None
    webhook_url: str | None = None
    requirements: dict[str, StepRequirements] | None = None
    reused: ReusedState | None = None
    search_attributes: bool = False
    liveness_timeout: float = 30.0
    history_limit: int = 3000
    segments: bool = False
    ended: RecordedEnd | None = None
