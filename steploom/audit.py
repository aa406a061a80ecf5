"""Audit events for programs, which have a clock, as the builder itself has not."""

from __future__ import annotations

from datetime import UTC, datetime

from definitions.audit import WorkflowEventBuilder


def new_workflow_event(event_type: str) -> WorkflowEventBuilder:
    """A builder of an event that happens now; ``with_timestamp`` says another time.

    Args:
        event_type: ``workflow.started``, ``workflow.completed`` or ``workflow.failed``.

    Raises:
        AuditEventError: It is none of these.
    """
    return WorkflowEventBuilder(event_type).with_timestamp(datetime.now(UTC))
