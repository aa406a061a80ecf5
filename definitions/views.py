"""The record as it is read back: what ``list``, ``show`` and ``explain`` print.

The counterparts of ``definitions.records``: same names, camelCase in JSON. Times are UTC. Values
are as they were stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from definitions.records import Decision, ErrorInfo, RunOrigin, Vote
from definitions.statuses import InstanceStatus, StepStatus


class _View(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    def to_json(self) -> dict[str, Any]:
        """The view as JSON values, with every field."""
        return self.model_dump(mode="json", by_alias=True)


class DefinitionView(_View):
    """A definition with its highest listed version. ``instances`` counts its runs by status."""

    id: UUID
    workflow_id: str
    name: str
    description: str | None = None
    version: str
    versions: int
    content_hash: str
    instances: dict[InstanceStatus, int] = Field(default_factory=dict)
    created_by: str | None = None
    created_at: datetime
    updated_at: datetime


class UserView(_View):
    """A user of an org. ``name`` is what ``--as`` takes."""

    id: UUID
    org_id: UUID
    name: str
    created_at: datetime


class InstanceView(_View):
    """One run. The definition's ids are absent where no definition could be found.

    ``origin`` is the run that it came from, as a child or as a rerun.
    """

    id: UUID
    org_id: UUID
    execution_id: str
    first_run_id: str
    workflow_definition_id: UUID | None = None
    definition_version_id: UUID | None = None
    workflow_id: str
    version: str
    content_hash: str | None = None
    status: InstanceStatus
    current_step_id: str | None = None
    input: Any = None
    state: dict[str, Any] | None = None
    output: Any = None
    error: dict[str, Any] | None = None
    trigger_event_id: UUID | None = None
    correlation_id: str | None = None
    channel: str | None = None
    external_id: str | None = None
    user_id: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    origin: RunOrigin | None = None
    interpreter_version: int | None = None
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None


class InstancePage(_View):
    """One page of runs, newest first. ``next`` is the ``after`` of the page behind it, if any."""

    items: list[InstanceView]
    next: str | None = None


class AttemptView(_View):
    """One attempt of a step's task. ``started_at`` is absent for one that left no trace."""

    attempt: int
    status: StepStatus
    input: Any = None
    output: Any = None
    error: ErrorInfo | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    worker: str | None = None


class StepView(_View):
    """One iteration of a step, with its attempts in order.

    ``attempts`` is the highest attempt number that was seen. ``started_at`` and ``task_id`` are
    absent while only the decision that followed the step is known. ``compensated`` is absent
    unless the step was rolled back, and false where that failed. ``wrapped``: what came out was no
    object, and stands in ``output`` under ``value``.
    """

    id: UUID
    seq: int
    path: str
    iteration: int
    step_id: str
    task_id: str | None = None
    name: str | None = None
    status: StepStatus
    input: Any = None
    output: Any = None
    error: ErrorInfo | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    attempts: int = 0
    decision: Decision | None = None
    votes: list[Vote] = Field(default_factory=list)
    waiting_for: dict[str, Any] | None = None
    compensated: bool | None = None
    wrapped: bool = False
    attempt_records: list[AttemptView] = Field(default_factory=list)


class AuditView(_View):
    """One audit event. ``event_data`` is its exact JSON."""

    event_id: UUID
    event_timestamp: datetime
    event_type: str
    event_data: dict[str, Any]
    instance_id: UUID | None = None
    seq: int


class ActionView(_View):
    """Something that was done to a run from outside. ``path``: to this step of it."""

    event_id: UUID
    seq: int
    action: str
    actor: str | None = None
    reason: str | None = None
    path: str | None = None
    iteration: int | None = None
    occurred_at: datetime
    data: dict[str, Any] = Field(default_factory=dict)


class OutboxView(_View):
    """An event that a run publishes. ``published_at`` is absent until a broker has it.

    ``dead_at``: when it was given up, for what ``error`` says. ``path`` is empty for an event of
    the run itself.
    """

    id: int
    event_id: UUID
    instance_id: UUID
    execution_id: str
    seq: int
    event_type: str
    envelope: dict[str, Any]
    occurred_at: datetime
    published_at: datetime | None = None
    path: str | None = None
    recorded_at: datetime | None = None
    dead_at: datetime | None = None
    error: str | None = None


class ConfigView(_View):
    """One version of a configuration: of a workflow (on a channel), of a channel, or of all."""

    id: int
    config_type: str
    workflow_id: UUID | None = None
    workflow_name: str | None = None
    channel: str | None = None
    version: int
    name: str | None = None
    data: dict[str, Any]
    active: bool
    created_by: str | None = None
    created_at: datetime
    activated_by: str | None = None
    activated_at: datetime | None = None


class ChannelView(_View):
    """A channel as a workflow is offered on it. The highest ``priority`` is the default one."""

    workflow_id: UUID
    workflow_name: str
    channel: str
    enabled: bool
    priority: int
    webhook_url: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    updated_at: datetime
