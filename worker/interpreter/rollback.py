"""Rollback: the compensations of completed steps, in reverse order of completion or all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.identity import idempotency_key
from definitions.outputs import stored_output
from definitions.records import CompensationRecord, StepRecord
from definitions.statuses import StepStatus
from definitions.tasks import CHILD_TASK
from worker.interpreter.budget import LEAST_SHARE
from worker.interpreter.children import Children, Scope, bounded
from worker.interpreter.host import StepError, TaskCall
from worker.interpreter.inline import InlineCall, timed_out
from worker.interpreter.lane import Lane, names_in_scope
from worker.interpreter.plan import every_planned
from worker.interpreter.state import Unit
from worker.interpreter.values import evaluate, refuse_references

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject
    from worker.interpreter.host import Host
    from worker.interpreter.inline import InlineTasks
    from worker.interpreter.plan import Plan, PlannedTask
    from worker.interpreter.state import Completed, RunState


class Rollback:
    """Undoes what a run has done. One compensation that fails does not stop the others."""

    def __init__(self, plan: Plan, state: RunState, host: Host, inline: InlineTasks) -> None:
        self._plan = plan
        self._state = state
        self._host = host
        self._inline = inline
        self._compensations = {
            step.step_id: step.compensation
            for step in every_planned(plan.main)
            if step.compensation is not None
        }

    async def run(self) -> JsonObject:
        """Runs those that have not run yet; returns which were compensated and which failed."""
        pending = [done for done in reversed(self._state.completed) if done.compensated is None]
        rollback = self._plan.definition.rollback
        if rollback is not None and rollback.order == "parallel":
            async with Children[Any](Scope()) as children:
                for done in pending:
                    work = self._compensate(done, main_path=False)
                    name = f"{done.path}@compensation:{done.iteration}"
                    children.spawn(work, children.scope(), name=name)
                while len(children):
                    (await children.next_done()).result()
        else:
            for done in pending:
                await self._compensate(done, main_path=True)
        result = list(reversed(self._state.completed))
        return {
            "compensated": [done.path for done in result if done.compensated],
            "failed": [done.path for done in result if done.compensated is False],
        }

    async def _compensate(self, done: Completed, *, main_path: bool) -> None:
        if done.unit is None:
            done.turn = done.turn or self._state.next_seq()
            await self._host.admit(lambda: True, seq=done.turn)
            path = f"{done.path}@compensation"
            done.unit = Unit(path=path, started_at=self._host.now(), turn=done.turn)
            done.turn = self._state.next_seq()
        unit, task = done.unit, self._compensations[done.step_id]
        record = StepRecord(
            seq=self._state.next_seq(),
            path=unit.path,
            iteration=done.iteration,
            step_id=done.step_id,
            task_id=task.spec.task_id,
            status=StepStatus.ACTIVE,
            started_at=unit.started_at or self._host.now(),
            external=True if task.spec.activity is not None else None,
        )
        error: StepError | None = None
        try:
            await self._run(task, done, unit, record, main_path=main_path)
        except StepError as failed:
            error = failed.at(done.step_id)
        done.compensated, done.unit, done.turn = error is None, None, 0
        if error is not None or not task.spec.self_recorded:
            ended = {
                "seq": self._state.next_seq(),
                "status": StepStatus.COMPLETED if error is None else StepStatus.FAILED,
                "input": unit.input if not task.spec.self_recorded else None,
                "output": stored_output(unit.output)
                if not (task.inline or task.spec.self_recorded) and error is None
                else None,
                "error": error.info if error is not None else None,
                "attempts": error.info.attempts if error is not None else None,
                "completed_at": self._host.now(),
            }
            self._host.record(record.model_copy(update=ended))
        view = self._state.main.steps.get(done.step_id)
        if view is not None and done.compensated:
            view["compensated"] = True
        self._host.record(
            CompensationRecord(
                seq=self._state.next_seq(),
                path=done.path,
                iteration=done.iteration,
                compensated=done.compensated,
            )
        )

    async def _run(
        self, task: PlannedTask, done: Completed, unit: Unit, record: StepRecord, *, main_path: bool
    ) -> None:
        if not unit.input_ready:
            unit.input = done.output
            if task.input is not None:
                lane = Lane(self._state.main, self._plan.main, Scope())
                names = names_in_scope(self._state, lane, output=done.output)
                unit.input = evaluate(task.input, names, "the compensation's input")
            if not task.inline and not task.spec.self_recorded:
                refuse_references(unit.input, f"the input of {task.spec.task_id}")
            unit.input_ready = True
            if not task.inline and not task.spec.self_recorded:
                # No activity of ours does it, so nobody else says that it has begun.
                self._host.record(record.model_copy(update={"input": unit.input}))
                await self._host.flush(main_path=main_path, seq=self._state.next_seq())
        deadline = record.started_at + task.timeout if task.timeout is not None else None
        if task.inline:
            nothing = self._nothing_to_announce
            await self._inline.run(InlineCall(task, unit, done.iteration, deadline, nothing))
            return
        work = self._host.call(
            TaskCall(
                seq=unit.turn,
                spec=task.spec,
                input=unit.input,
                retry=task.retry,
                attempt_timeout=task.attempt_timeout,
                heartbeat_timeout=task.heartbeat_timeout,
                deadline=deadline,
                # No expression reads it.
                output_limit=LEAST_SHARE,
                summary=f"undo {done.path}",
                idempotency_key=idempotency_key(
                    self._state.first_run_id, record.path, done.iteration
                ),
                record=record,
                ended_seq=self._state.next_seq(),
                final=task.spec.self_recorded,
                main_path=main_path,
            )
        )
        if deadline is None or task.spec.task_id != CHILD_TASK:
            # A task by itself is bounded by its host.
            unit.output = await work
            return
        timer = self._host.sleep_until(deadline, seq=done.turn)
        in_time, unit.output = await bounded(Scope(), work, Scope(), timer, name=unit.path)
        if not in_time:
            raise timed_out(f"the compensation of step {done.step_id}", task.timeout)

    async def _nothing_to_announce(self) -> None:
        """A compensation that waits is not shown as waiting."""
