"""Turns what happens in a run into the records that it leaves behind.

The interpreter tells the chronicle; the chronicle numbers each fact and hands it to the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.audit import workflow_event
from definitions.identity import event_id
from definitions.outputs import stored_output
from definitions.records import (
    AuditEvent,
    Decision,
    ErrorInfo,
    InstanceRecord,
    StepRecord,
    TransitionRecord,
)
from definitions.statuses import InstanceStatus, StepStatus, moment

if TYPE_CHECKING:
    from datetime import datetime

    from definitions.jsontypes import Json, JsonObject
    from worker.interpreter.host import Host, StepError
    from worker.interpreter.plan import Plan, PlannedStep
    from worker.interpreter.state import ActiveStep, RunState, Unit


class Chronicle:
    """The records of one run."""

    def __init__(self, plan: Plan, state: RunState, host: Host) -> None:
        self._plan = plan
        self._state = state
        self._host = host

    def step(
        self,
        step: PlannedStep,
        path: str,
        iteration: int,
        status: StepStatus,
        *,
        started_at: datetime,
        input: Json = None,  # noqa: A002 (the record's own word for it)
        output: Json = None,
        error: ErrorInfo | None = None,
        ended: bool = False,
        attempts: int | None = None,
        decision: Decision | None = None,
        unit: Unit | None = None,
    ) -> StepRecord:
        """A step as it stands now. The caller hands it to the host, or gives it to a task."""
        return StepRecord(
            seq=self._state.next_seq(),
            path=path,
            iteration=iteration,
            step_id=step.step_id,
            task_id=step.spec.task_id,
            name=step.name,
            status=status,
            input=input,
            output=output,
            error=error,
            started_at=started_at,
            completed_at=self._host.now() if ended else None,
            attempts=attempts,
            decision=decision,
            votes=unit.votes or None if unit is not None else None,
            waiting_for=unit.waiting_for if unit is not None else None,
            external=True if step.spec.activity is not None else None,
        )

    def keep(self, record: StepRecord) -> None:
        """Hands a record to the host."""
        self._host.record(record)

    def step_ended(
        self,
        step: PlannedStep,
        active: ActiveStep,
        status: StepStatus,
        *,
        output: Json = None,
        error: ErrorInfo | None = None,
        decision: Decision | None = None,
    ) -> None:
        """A step's end. Its input is in its task's record, where it had a task."""
        unit = active.units[0] if step.items is None else None
        self.keep(
            self.step(
                step,
                active.path,
                active.iteration,
                status,
                started_at=active.started_at,
                input=unit.input if unit is not None and step.inline else None,
                output=output,
                error=error,
                ended=True,
                attempts=error.attempts if error is not None else None,
                decision=decision,
                unit=unit,
            )
        )

    def item_ended(
        self,
        step: PlannedStep,
        active: ActiveStep,
        unit: Unit,
        status: StepStatus,
        error: StepError | None,
    ) -> None:
        """The end of one item of a step's ``forEach``."""
        self.keep(
            self.step(
                step,
                unit.path,
                active.iteration,
                status,
                started_at=unit.started_at or active.started_at,
                input=unit.input if step.inline else None,
                output=stored_output(unit.output) if status is StepStatus.COMPLETED else None,
                error=error.info if error is not None else None,
                ended=True,
                attempts=error.info.attempts if error is not None else None,
                unit=unit,
            )
        )

    def decided(self, path: str, iteration: int, decision: Decision) -> None:
        """Why the run left a step for another."""
        self._host.record(
            TransitionRecord(
                seq=self._state.next_seq(), path=path, iteration=iteration, decision=decision
            )
        )

    def instance(self) -> InstanceRecord:
        """The run as it stands now, ended or not."""
        state = self._state
        return InstanceRecord(
            seq=state.next_seq(),
            status=state.status,
            current_step_id=state.current_step_id,
            state=self.public_state(),
            output=state.output,
            error=state.failure,
            updated_at=self._host.now(),
            completed_at=state.ended_at,
        )

    def public_state(self) -> dict[str, Any]:
        """``workflow_instances.state``: input, steps and variables, in the schema's shape."""
        state = self._state
        return {"input": state.input, "steps": state.main.steps, "variables": state.variables}

    def run_ended(self) -> None:
        """The audit events of a run's end: one for every run, one more for a failed one."""
        self._audit("workflow.completed")
        if self._state.status is InstanceStatus.FAILED:
            self._audit("workflow.failed")

    def _audit(self, event_type: str) -> None:
        state = self._state
        now = state.ended_at or self._host.now()
        last_vote: JsonObject = state.deciding_votes[-1] if state.deciding_votes else {}
        position = state.current_position
        names = {step.step_id: step.name for step in self._plan.definition.steps}
        timed_out = (state.failure or {}).get("type") == "WorkflowTimeout"
        situation = moment(state.status, timed_out=timed_out)
        data = workflow_event(
            event_type,
            timestamp=now,
            workflow_id=state.workflow_id,
            execution_id=state.execution_id,
            phase=situation.audit_phase,
            current_step=position,
            total_steps=len(self._plan.step_ids),
            step_name=names.get(state.current_step_id or "") or state.current_step_id,
            duration=now - state.started_at,
            outcome=situation.audit_outcome,
            approval_required=self._plan.approvals,
            approval_decision=last_vote.get("decision"),
            approver=last_vote.get("approver"),
            error_message=(state.failure or {}).get("message"),
        )
        self._host.record(
            AuditEvent(
                seq=state.next_seq(),
                event_id=event_id(state.org_id, state.first_run_id, event_type),
                event_type=event_type,
                occurred_at=now,
                data=data,
            )
        )
