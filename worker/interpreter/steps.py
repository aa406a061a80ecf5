"""One step from its entry to its end: its work, its output, and where the run goes from it.

The order within a step is the contract's: input, task, branches (``worker.interpreter.work``),
output, transitions.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from definitions.outputs import is_object, json_size, stored_output
from definitions.records import Decision, ErrorInfo
from definitions.statuses import StepStatus
from worker.interpreter.budget import StateBudget
from worker.interpreter.host import StepError
from worker.interpreter.lane import names_in_scope
from worker.interpreter.state import ActiveStep, Unit, step_view
from worker.interpreter.transitions import (
    TransitionError,
    decide_failure,
    decide_next,
    fixed_decision,
)
from worker.interpreter.values import check_size, evaluate, failed_status
from worker.interpreter.work import SkippedError, StepWork

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject
    from worker.interpreter.chronicle import Chronicle
    from worker.interpreter.host import Host
    from worker.interpreter.inline import InlineTasks
    from worker.interpreter.lane import Lane
    from worker.interpreter.plan import PlannedList, PlannedStep
    from worker.interpreter.state import Frame, RunState

#: A step entered more often fails the run.
MAX_ITERATIONS = 10_000
#: A run of steps that need no host at all writes what it has kept when there is this much of it.
MAX_UNWRITTEN = 100


class StepRunner:
    """Walks lists of steps for one run."""

    def __init__(
        self,
        state: RunState,
        host: Host,
        chronicle: Chronicle,
        inline: InlineTasks,
        *,
        room: int = 0,
    ) -> None:
        self._state = state
        self._host = host
        self._chronicle = chronicle
        self._budget = StateBudget(state, room)
        self._work = StepWork(state, host, chronicle, inline, budget=self._budget, walk=self.walk)

    async def walk(self, lane: Lane) -> Json:
        """Walks from where the frame stands to its end; returns the last stored output.

        Raises:
            StepError: A step failed and nothing in this list handles it.
        """
        frame = lane.frame
        while frame.position is not None:
            self._check(lane)
            frame.position = await self._step(lane, lane.planned.steps[frame.position])
        frame.ended = True
        return frame.result

    def abandon(self, frame: Frame, planned: PlannedList) -> None:
        """Records the step at which a frame stands as cancelled, with all that runs in it.

        A coroutine that is cancelled before its first line never learns of it. That can be so when
        a run is taken up again and told to stop, or out of time, in the same moment.
        """
        if frame.active is not None:
            self._cancelled(frame, planned.steps[frame.active.step_id], frame.active)

    def skip(self, unit: Unit) -> None:
        """Goes on from a unit's task as if it had ended with nothing."""
        self._work.skip(unit)

    async def _step(self, lane: Lane, step: PlannedStep) -> str | None:
        """Runs the step at which a frame stands; returns the next one's id."""
        active = lane.frame.active or await self._enter(lane, step)
        try:
            raw = await self._work.run(lane, step, active)
            lane.frame.steps.update(active.joined)
            wrapped = self._store(lane, step, active, raw)
        except SkippedError:
            return self._skipped(lane, step, active)
        except StepError as error:
            self._abandon_inner(lane.frame, step, active)
            return self._failed(lane, step, active, error.at(step.step_id))
        except asyncio.CancelledError:
            self._cancelled(lane.frame, step, active)
            raise
        return self._ended(lane, step, active, StepStatus.COMPLETED, wrapped=wrapped)

    def _check(self, lane: Lane) -> None:
        """Stops where the work was told to, but not before what was done already."""
        if not self._host.ahead:
            lane.scope.check()

    async def _enter(self, lane: Lane, step: PlannedStep) -> ActiveStep:
        state, host = self._state, self._host
        if host.unwritten() >= MAX_UNWRITTEN:
            await host.flush(main_path=lane.is_main, seq=state.next_seq())
        lane.frame.turn = lane.frame.turn or state.next_seq()
        await host.admit(lambda: not state.paused, seq=lane.frame.turn)
        lane.frame.turn = 0
        self._check(lane)
        path = f"{lane.frame.prefix}{step.step_id}"
        iteration = state.iterations.get(path, 0) + 1
        if iteration > MAX_ITERATIONS:
            message = f"step {step.step_id} was entered more than {MAX_ITERATIONS} times"
            info = ErrorInfo(type="IterationLimitExceeded", message=message, step_id=step.step_id)
            raise StepError(info, handleable=False, retryable=False)
        state.iterations[path] = iteration
        now = host.now()
        active = ActiveStep(
            step_id=step.step_id,
            path=path,
            iteration=iteration,
            started_at=now,
            deadline=now + step.timeout if step.timeout is not None else None,
        )
        if step.items is None:
            active.units.append(Unit(path=path))
        lane.frame.active = active
        if step.branches or step.items is not None:
            # What runs in it is recorded under paths below this one, which must be there first.
            self._chronicle.keep(
                self._chronicle.step(step, path, iteration, StepStatus.ACTIVE, started_at=now)
            )
        if lane.is_main:
            state.current_step_id, state.current_position = step.step_id, step.position
        return active

    def _store(self, lane: Lane, step: PlannedStep, active: ActiveStep, raw: Json) -> bool:
        """Puts the output where the following steps find it; returns whether it was wrapped."""
        frame = lane.frame
        value = raw
        if step.output is not None:
            names = names_in_scope(self._state, lane, output=raw)
            value = evaluate(step.output, names, "the output")
        stored = stored_output(value)
        size = check_size(stored, "the output")
        before = frame.data, frame.steps, frame.result
        frame.result = stored
        if is_object(value):
            # Anew, because branches begin with the very same object.
            frame.data = {**frame.data, **stored}
            if lane.outer is not None and before[0] is lane.outer.frame.data:
                size += json_size(frame.data)
        view = step_view(
            StepStatus.COMPLETED,
            started_at=active.started_at,
            completed_at=self._host.now(),
            output=stored,
            errors=active.failures if step.items is not None else None,
        )
        frame.steps = {**frame.steps, step.step_id: view}
        try:
            self._budget.spend(size, "its output", leaving=frame)
        except StepError:
            frame.data, frame.steps, frame.result = before
            raise
        if step.items is None:
            self._work.to_compensate(step, active.path, active.iteration, stored)
        return not is_object(value)

    def _skipped(self, lane: Lane, step: PlannedStep, active: ActiveStep) -> str | None:
        """Goes on from a step that an operator skipped, as if it had ended with nothing."""
        frame = lane.frame
        frame.result = {}
        frame.steps[step.step_id] = step_view(
            StepStatus.SKIPPED,
            started_at=active.started_at,
            completed_at=self._host.now(),
            output={},
        )
        active.reported = False
        return self._ended(lane, step, active, StepStatus.SKIPPED)

    def _ended(
        self,
        lane: Lane,
        step: PlannedStep,
        active: ActiveStep,
        status: StepStatus,
        *,
        wrapped: bool = False,
    ) -> str | None:
        """Decides where to go from a step whose work is done, or was skipped, and reports it."""
        frame = lane.frame
        names = names_in_scope(self._state, lane, output=frame.result)
        try:
            decision = decide_next(step, names)
        except TransitionError as failed:
            error = failed.error.at(step.step_id)
            view = frame.steps[step.step_id]
            return self._failed(lane, step, active, error, next_failed=failed, view=view)
        if status is StepStatus.SKIPPED:
            decision = decision.model_copy(update={"kind": "skip"})
        if not active.reported:
            self._chronicle.step_ended(
                step, active, status, output=frame.result, decision=decision, wrapped=wrapped
            )
        elif fixed_decision(step) is None:
            self._chronicle.decided(active.path, active.iteration, decision)
        frame.active = None
        return decision.target

    def _failed(
        self,
        lane: Lane,
        step: PlannedStep,
        active: ActiveStep,
        error: StepError,
        *,
        next_failed: TransitionError | None = None,
        view: JsonObject | None = None,
    ) -> str | None:
        """Decides where to go from a step that failed.

        ``next_failed``: it was ``next`` that failed, so ``continue`` cannot take it. ``view``: the
        step as it was completed, when its work was done.

        Raises:
            StepError: Nothing in the step handles it.
        """
        frame, info = lane.frame, error.info
        self._state.error = info.as_seen()
        status = failed_status(step, info)
        failed_view = step_view(
            status,
            started_at=active.started_at,
            completed_at=self._host.now(),
            output=(view or {}).get("output"),
            error=info.as_seen(),
            errors=active.failures if step.items is not None else None,
        )
        frame.steps[step.step_id] = failed_view
        decision = Decision(kind="raise")
        if error.handleable:
            decision = decide_failure(step.on_failure, info)
        if next_failed is not None and decision.kind == "continue" and decision.target is None:
            decision = Decision(kind="raise")
        if decision.kind != "raise" and view is None:
            failed_view["output"] = frame.result = {}
        if decision.kind == "continue" and decision.target is None:
            try:
                names = names_in_scope(self._state, lane, output={})
                onward = decide_next(step, names)
            except TransitionError as again:
                inner = again.error.at(step.step_id)
                return self._failed(lane, step, active, inner, next_failed=again, view=view)
            decision = onward.model_copy(update={"kind": "continue"})
        asked = [*(next_failed.evaluated if next_failed else ()), *decision.evaluated]
        decision = decision.model_copy(update={"evaluated": asked})
        # The output of work that was done, so that a rerun can go on from it.
        done = (view or {}).get("output")
        self._chronicle.step_ended(step, active, status, output=done, error=info, decision=decision)
        frame.active = None
        if decision.kind == "raise":
            raise error
        return decision.target

    def _cancelled(self, frame: Frame, step: PlannedStep, active: ActiveStep) -> None:
        self._abandon_inner(frame, step, active)
        frame.steps[step.step_id] = step_view(
            StepStatus.CANCELLED, started_at=active.started_at, completed_at=self._host.now()
        )
        self._chronicle.step_ended(step, active, StepStatus.CANCELLED)
        frame.active = None

    def _abandon_inner(self, frame: Frame, step: PlannedStep, active: ActiveStep) -> None:
        """Ends what has stopped in a step without a word (see ``abandon``)."""
        for unit in active.units:
            if unit.branches:
                for (_, planned), branch in zip(step.branches, unit.branches, strict=True):
                    self.abandon(branch, planned)
                self._work.join(frame, active, unit)
            if unit.index is not None and unit.phase != "done" and unit.started_at is not None:
                self._chronicle.item_ended(step, active, unit, StepStatus.CANCELLED, None)
        frame.steps.update(active.joined)
