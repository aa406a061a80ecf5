"""One table of statuses: what the same moment of a run is called by each of its readers.

Everything that maps a status uses this table, so that two surfaces can never disagree.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class InstanceStatus(StrEnum):
    """A run, in ``workflow_instances.status`` and in ``status`` of expressions."""

    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing can come after it."""
        return self not in {InstanceStatus.RUNNING, InstanceStatus.SUSPENDED}


class StepStatus(StrEnum):
    """A step of a run."""

    PENDING = "pending"
    ACTIVE = "active"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"

    @property
    def ended(self) -> bool:
        """Whether the step can still change."""
        return self not in {StepStatus.PENDING, StepStatus.ACTIVE, StepStatus.WAITING}


class Moment(NamedTuple):
    """One row of the table: a run's situation and its name in each vocabulary."""

    instance: InstanceStatus
    trace: str
    execution: str
    audit_phase: str
    audit_outcome: str | None


#: Keyed by (instance status, whether the run ended by its own timeout).
TABLE: dict[tuple[InstanceStatus, bool], Moment] = {
    (InstanceStatus.RUNNING, False): Moment(
        InstanceStatus.RUNNING, "active", "running", "executing", None
    ),
    (InstanceStatus.SUSPENDED, False): Moment(
        InstanceStatus.SUSPENDED, "active", "running", "executing", None
    ),
    (InstanceStatus.COMPLETED, False): Moment(
        InstanceStatus.COMPLETED, "completed", "succeeded", "completed", "success"
    ),
    (InstanceStatus.FAILED, False): Moment(
        InstanceStatus.FAILED, "failed", "failed", "failed", "failed"
    ),
    (InstanceStatus.FAILED, True): Moment(
        InstanceStatus.FAILED, "timeout", "timed_out", "failed", "failed"
    ),
    (InstanceStatus.CANCELLED, False): Moment(
        InstanceStatus.CANCELLED, "cancelled", "cancelled", "completed", "cancelled"
    ),
}


def moment(status: InstanceStatus, *, timed_out: bool = False) -> Moment:
    """The names of a run's situation. ``timed_out``: it failed with ``WorkflowTimeout``."""
    return TABLE[(status, timed_out and status is InstanceStatus.FAILED)]
