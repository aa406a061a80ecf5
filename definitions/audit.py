"""Audit events of the workflow service: the exact JSON, made by a builder that refuses gaps.

Shape (version 1.0): ``{"version", "service": "workflow", "event_type", "timestamp",
"data": {"workflow": {…}}}``. ``timestamp`` is RFC 3339 in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from definitions.errors import SteploomError

EVENT_TYPES = ("workflow.started", "workflow.completed", "workflow.failed")
PHASES = ("pending", "executing", "completed", "failed")
OUTCOMES = ("success", "failed", "cancelled")
DECISIONS = ("approved", "rejected")


class AuditEventError(SteploomError):
    """A required field is missing, or a value is not one of the schema's."""


def _of_type(field: str, value: object, kind: type) -> None:
    # A bool is an int to isinstance, and never to a schema.
    if type(value) is not kind and not (kind is not int and isinstance(value, kind)):
        raise AuditEventError(f"{field} is {value!r}; it is a {_TYPE_NAMES[kind]}")


_TYPE_NAMES: dict[type, str] = {str: "string", int: "whole number", bool: "boolean"}


def _name(field: str, value: str) -> str:
    _of_type(field, value, str)
    if not value:
        raise AuditEventError(f"{field} is empty")
    return value


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise AuditEventError(f"{field} is {value!r}; it is one of {', '.join(allowed)}")
    return value


class WorkflowEventBuilder:
    """Builds one audit event, field by field; ``build`` refuses what the schema requires."""

    def __init__(self, event_type: str) -> None:
        self._event_type = _one_of("event_type", event_type, EVENT_TYPES)
        self._timestamp: datetime | None = None
        self._workflow: dict[str, Any] = {}

    def with_timestamp(self, timestamp: datetime) -> Self:
        """When it happened; a naive time is UTC. Without this, ``build`` is refused."""
        self._timestamp = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
        return self

    def with_workflow_id(self, workflow_id: str) -> Self:
        """The definition's id (required)."""
        self._workflow["workflow_id"] = _name("workflow_id", workflow_id)
        return self

    def with_execution_id(self, execution_id: str) -> Self:
        """The execution's id."""
        self._workflow["execution_id"] = _name("execution_id", execution_id)
        return self

    def with_phase(self, phase: str) -> Self:
        """``pending``, ``executing``, ``completed`` or ``failed``."""
        self._workflow["phase"] = _one_of("phase", phase, PHASES)
        return self

    def with_current_step(self, current: int, total: int) -> Self:
        """The current step, from 1, and how many there are."""
        _of_type("current_step", current, int)
        _of_type("total_steps", total, int)
        if not 1 <= current <= total:
            raise AuditEventError(f"current_step is {current} of {total}; it counts from 1")
        self._workflow["current_step"] = current
        self._workflow["total_steps"] = total
        return self

    def with_total_steps(self, total: int) -> Self:
        """How many steps there are, where none has begun."""
        _of_type("total_steps", total, int)
        if total < 0:
            raise AuditEventError(f"total_steps is {total}; it cannot be negative")
        self._workflow["total_steps"] = total
        return self

    def with_step_name(self, name: str) -> Self:
        """The current step's name."""
        _of_type("step_name", name, str)
        self._workflow["step_name"] = name
        return self

    def with_duration(self, milliseconds: int) -> Self:
        """How long the execution has taken, in milliseconds."""
        _of_type("duration_ms", milliseconds, int)
        if milliseconds < 0:
            raise AuditEventError(f"duration_ms is {milliseconds}; it cannot be negative")
        self._workflow["duration_ms"] = milliseconds
        return self

    def with_outcome(self, outcome: str) -> Self:
        """``success``, ``failed`` or ``cancelled``."""
        self._workflow["outcome"] = _one_of("outcome", outcome, OUTCOMES)
        return self

    def with_approval_required(self, required: bool) -> Self:
        """Whether the definition asks a person anywhere (required)."""
        _of_type("approval_required", required, bool)
        self._workflow["approval_required"] = required
        return self

    def with_approval_decision(self, decision: str, approver: str) -> Self:
        """The last deciding vote and who gave it."""
        self._workflow["approval_decision"] = _one_of("approval_decision", decision, DECISIONS)
        self._workflow["approver"] = _name("approver", approver)
        return self

    def with_error_message(self, message: str) -> Self:
        """Why it failed."""
        _of_type("error_message", message, str)
        self._workflow["error_message"] = message
        return self

    def build(self) -> dict[str, Any]:
        """The event.

        Raises:
            AuditEventError: A required field is missing.
        """
        missing = [
            field for field in ("workflow_id", "approval_required") if field not in self._workflow
        ]
        if self._timestamp is None:
            missing.append("timestamp")
        if missing or self._timestamp is None:
            raise AuditEventError(f"missing: {', '.join(missing)}")
        order = {field: index for index, field in enumerate(_FIELD_ORDER)}
        workflow = dict(sorted(self._workflow.items(), key=lambda item: order[item[0]]))
        return {
            "version": "1.0",
            "service": "workflow",
            "event_type": self._event_type,
            "timestamp": self._timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "data": {"workflow": workflow},
        }


_FIELD_ORDER = (
    "workflow_id",
    "execution_id",
    "phase",
    "current_step",
    "total_steps",
    "step_name",
    "duration_ms",
    "outcome",
    "approval_required",
    "approval_decision",
    "approver",
    "error_message",
)


def workflow_event(
    event_type: str,
    *,
    timestamp: datetime,
    workflow_id: str,
    execution_id: str,
    phase: str,
    approval_required: bool,
    current_step: int | None = None,
    total_steps: int | None = None,
    step_name: str | None = None,
    duration: timedelta | None = None,
    outcome: str | None = None,
    approval_decision: str | None = None,
    approver: str | None = None,
    error_message: str | None = None,
) -> dict[str, Any]:
    """The event of a run, from what is known; absent fields are left out."""
    builder = (
        WorkflowEventBuilder(event_type)
        .with_timestamp(timestamp)
        .with_workflow_id(workflow_id)
        .with_execution_id(execution_id)
        .with_phase(phase)
        .with_approval_required(approval_required)
    )
    if current_step is not None and total_steps is not None:
        builder.with_current_step(current_step, total_steps)
    elif total_steps is not None:
        builder.with_total_steps(total_steps)
    if step_name is not None:
        builder.with_step_name(step_name)
    if duration is not None:
        builder.with_duration(duration // timedelta(milliseconds=1))
    if outcome is not None:
        builder.with_outcome(outcome)
    if approval_decision is not None:
        builder.with_approval_decision(approval_decision, approver or "")
    if error_message is not None:
        builder.with_error_message(error_message)
    return builder.build()
