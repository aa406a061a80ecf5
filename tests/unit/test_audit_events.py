"""The builder of audit events: the schema's shape, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from definitions.audit import DECISIONS, EVENT_TYPES, OUTCOMES, PHASES
from steploom import AuditEventError, WorkflowEventBuilder, new_workflow_event

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[WorkflowEventBuilder], WorkflowEventBuilder]

AT = datetime(2025, 11, 18, 10, tzinfo=UTC)


def least(event_type: str = "workflow.completed") -> WorkflowEventBuilder:
    """A builder that has what is required, and no more."""
    return (
        WorkflowEventBuilder(event_type)
        .with_timestamp(AT)
        .with_workflow_id("workflow-increase-memory")
        .with_approval_required(True)
    )


def test_the_whole_event_is_that_of_the_schema() -> None:
    """Every field, in the schema's order, from a chain of calls in any order."""
    event = (
        least("workflow.failed")
        .with_error_message("Failed to apply resource")
        .with_approval_decision("approved", "sre-team@example.com")
        .with_outcome("success")
        .with_duration(45000)
        .with_step_name("increase_memory_limits")
        .with_current_step(3, 5)
        .with_phase("executing")
        .with_execution_id("exec-2025-11-18-001")
        .build()
    )
    assert json.dumps(event) == json.dumps(
        {
            "version": "1.0",
            "service": "workflow",
            "event_type": "workflow.failed",
            "timestamp": "2025-11-18T10:00:00Z",
            "data": {
                "workflow": {
                    "workflow_id": "workflow-increase-memory",
                    "execution_id": "exec-2025-11-18-001",
                    "phase": "executing",
                    "current_step": 3,
                    "total_steps": 5,
                    "step_name": "increase_memory_limits",
                    "duration_ms": 45000,
                    "outcome": "success",
                    "approval_required": True,
                    "approval_decision": "approved",
                    "approver": "sre-team@example.com",
                    "error_message": "Failed to apply resource",
                }
            },
        }
    )


def test_the_builder_is_used_as_the_schema_describes_it() -> None:
    """Call by call; when it happens is now, as nothing else is said."""
    before = datetime.now(UTC)
    event = (
        new_workflow_event("workflow.completed")
        .with_workflow_id("workflow-increase-memory")
        .with_execution_id("exec-2025-001")
        .with_phase("completed")
        .with_current_step(5, 5)
        .with_step_name("verify_health")
        .with_duration(45000)
        .with_outcome("success")
        .with_approval_required(True)
        .with_approval_decision("approved", "sre-team@example.com")
        .build()
    )
    assert before <= datetime.fromisoformat(event.pop("timestamp")) <= datetime.now(UTC)
    assert event == {
        "version": "1.0",
        "service": "workflow",
        "event_type": "workflow.completed",
        "data": {
            "workflow": {
                "workflow_id": "workflow-increase-memory",
                "execution_id": "exec-2025-001",
                "phase": "completed",
                "current_step": 5,
                "total_steps": 5,
                "step_name": "verify_health",
                "duration_ms": 45000,
                "outcome": "success",
                "approval_required": True,
                "approval_decision": "approved",
                "approver": "sre-team@example.com",
            }
        },
    }
    assert (
        new_workflow_event("workflow.started")
        .with_timestamp(AT)
        .with_workflow_id("w")
        .with_approval_required(False)
        .build()["timestamp"]
        == "2025-11-18T10:00:00Z"
    )


def test_only_what_is_required_is_required() -> None:
    """The workflow's id and whether it asks for an approval; absent facts are left out."""
    assert least().build()["data"] == {
        "workflow": {"workflow_id": "workflow-increase-memory", "approval_required": True}
    }


@pytest.mark.parametrize(
    ("builder", "missing"),
    [
        (WorkflowEventBuilder("workflow.started"), "workflow_id, approval_required, timestamp"),
        (
            WorkflowEventBuilder("workflow.started").with_timestamp(AT).with_workflow_id("w"),
            "approval_required",
        ),
    ],
)
def test_a_gap_is_refused(builder: WorkflowEventBuilder, missing: str) -> None:
    """All that is missing is named at once."""
    with pytest.raises(AuditEventError, match=missing):
        builder.build()


@pytest.mark.parametrize(
    ("values", "change"),
    [
        (EVENT_TYPES, least),
        (PHASES, lambda value: least().with_phase(value)),
        (OUTCOMES, lambda value: least().with_outcome(value)),
        (DECISIONS, lambda value: least().with_approval_decision(value, "ann")),
    ],
    ids=["event_type", "phase", "outcome", "approval_decision"],
)
def test_only_the_schemas_values_are_taken(
    values: tuple[str, ...], change: Callable[[str], WorkflowEventBuilder]
) -> None:
    """Each of them builds; any other, also in other letters, is refused with those that are."""
    for value in values:
        change(value).build()
    for wrong in ("", "unknown", values[0].upper()):
        with pytest.raises(AuditEventError, match=values[-1]):
            change(wrong)


@pytest.mark.parametrize(
    "change",
    [
        lambda builder: builder.with_workflow_id(""),
        lambda builder: builder.with_execution_id(""),
        lambda builder: builder.with_current_step(0, 5),
        lambda builder: builder.with_current_step(6, 5),
        lambda builder: builder.with_total_steps(-1),
        lambda builder: builder.with_duration(-1),
        lambda builder: builder.with_approval_decision("approved", ""),
    ],
)
def test_a_value_that_cannot_be_is_refused(change: Change) -> None:
    """Names that are empty, steps that are not there, time that runs backwards."""
    with pytest.raises(AuditEventError):
        change(least())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda builder: builder.with_workflow_id(7), "workflow_id"),
        (lambda builder: builder.with_current_step(True, 5), "current_step"),
        (lambda builder: builder.with_current_step(1, "5"), "total_steps"),
        (lambda builder: builder.with_duration(1.5), "duration_ms"),
        (lambda builder: builder.with_approval_required("true"), "approval_required"),
        (lambda builder: builder.with_approval_required(None), "approval_required"),
        (lambda builder: builder.with_step_name(None), "step_name"),
        (lambda builder: builder.with_error_message({"a": 1}), "error_message"),
    ],
)
def test_a_value_of_another_type_is_refused(
    change: Callable[[Any], WorkflowEventBuilder], field: str
) -> None:
    """An event is never of another type than its schema says, whoever builds it."""
    with pytest.raises(AuditEventError, match=field):
        change(least())


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (AT.replace(tzinfo=None), "2025-11-18T10:00:00Z"),
        (AT.astimezone(timezone(timedelta(hours=5, minutes=30))), "2025-11-18T10:00:00Z"),
        (AT + timedelta(microseconds=1500), "2025-11-18T10:00:00.001500Z"),
    ],
)
def test_times_are_written_in_utc(given: datetime, written: str) -> None:
    """Whatever zone they are given in; without one they are UTC."""
    assert least().with_timestamp(given).build()["timestamp"] == written


def test_what_was_built_is_the_callers() -> None:
    """Going on with the builder changes no event that it has built."""
    builder = least()
    first = builder.build()
    second = builder.with_phase("completed").build()
    assert "phase" not in first["data"]["workflow"]
    assert second["data"]["workflow"]["phase"] == "completed"
