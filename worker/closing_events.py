"""The audit events of a run that ended without our code, made from what it has on record.

They say what the run itself would have said: where it stood, and who had decided last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from definitions.audit import workflow_event
from definitions.identity import event_id
from definitions.records import AuditEvent
from definitions.statuses import InstanceStatus, StepStatus, moment
from definitions.walk import asks_people

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from adapters.postgres.open_runs import OpenRun
    from definitions.document import Definition
    from definitions.records import ErrorInfo, Vote
    from definitions.views import StepView

#: What an approval becomes by a vote that decides: without one it is left, skipped or timed out.
_DECIDED = (StepStatus.COMPLETED, StepStatus.FAILED)


class Told(NamedTuple):
    """What is on record of a run; the definition is absent where none could be read."""

    steps: Sequence[StepView]
    definition: Definition | None


def end_events(
    run: OpenRun,
    status: InstanceStatus,
    at: datetime,
    error: ErrorInfo | None,
    told: Told,
    *,
    seq: int,
) -> list[AuditEvent]:
    """``workflow.completed`` for every run, and ``workflow.failed`` for one that failed."""
    kinds = ["workflow.completed"]
    if status is InstanceStatus.FAILED:
        kinds.append("workflow.failed")
    ref = run.ref
    definition = told.definition
    steps = definition.steps if definition is not None else []
    place = {step.step_id: number for number, step in enumerate(steps, 1)}
    names = {step.step_id: step.name for step in steps}
    here = run.current_step_id
    vote = _deciding_vote(told.steps)
    situation = moment(status, timed_out=error is not None and error.type == "WorkflowTimeout")
    return [
        AuditEvent(
            seq=seq,
            event_id=event_id(ref.org_id, ref.first_run_id, kind),
            event_type=kind,
            occurred_at=at,
            data=workflow_event(
                kind,
                timestamp=at,
                workflow_id=ref.workflow_id,
                execution_id=ref.execution_id,
                phase=situation.audit_phase,
                current_step=place.get(here or ""),
                total_steps=len(steps) or None,
                step_name=names.get(here or "") or here,
                duration=at - run.started_at,
                outcome=situation.audit_outcome,
                approval_required=definition is not None and asks_people(definition),
                approval_decision=vote.decision if vote is not None else None,
                approver=vote.approver if vote is not None else None,
                error_message=error.message if error is not None else None,
            ),
        )
        for kind in kinds
    ]


def _deciding_vote(steps: Sequence[StepView]) -> Vote | None:
    decided = [step.votes[-1] for step in steps if step.votes and step.status in _DECIDED]
    return max(decided, key=lambda vote: vote.decided_at, default=None)
