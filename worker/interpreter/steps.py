"""One step: its input, its task, its branches, its output, and where the run goes from it.

The order within a step is the contract's: input, task, branches, output, transitions. Every await
is a host's operation or a child; what is needed after it is in the state before it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from definitions.expressions import EvaluationError
from definitions.identity import idempotency_key
from definitions.outputs import MAX_VALUE_BYTES, json_size, stored_output
from definitions.records import Decision, ErrorInfo
from definitions.statuses import StepStatus
from worker.interpreter.children import Children, Scope, bounded
from worker.interpreter.host import StepError, TaskCall, step_error
from worker.interpreter.inline import timed_out
from worker.interpreter.lane import Lane, names_in_scope
from worker.interpreter.state import ActiveStep, Completed, Frame, Unit, step_view
from worker.interpreter.transitions import (
    TransitionError,
    decide_failure,
    decide_next,
    fixed_decision,
)

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject
    from definitions.templates import CompiledMapping
    from worker.interpreter.chronicle import Chronicle
    from worker.interpreter.host import Host
    from worker.interpreter.inline import InlineTasks
    from worker.interpreter.plan import PlannedList, PlannedStep
    from worker.interpreter.state import RunState

#: A step entered more often fails the run.
MAX_ITERATIONS = 10_000
#: A run of steps that need no host at all writes what it has kept when there is this much of it.
MAX_UNWRITTEN = 100


def evaluate(mapping: CompiledMapping, names: dict[str, Json], what: str) -> Json:
    """A mapping's value; what goes wrong in it is the step's error."""
    try:
        value = mapping.evaluate(names)
    except EvaluationError as error:
        raise step_error("ExpressionError", f"{what}: {error}") from None
    check_size(value, what)
    return value


def check_size(value: Json, what: str) -> None:
    """Refuses a value that Temporal would refuse later, at a price."""
    size = json_size(value)
    if size > MAX_VALUE_BYTES:
        raise step_error(
            "PayloadTooLarge", f"{what} has {size} bytes, at most {MAX_VALUE_BYTES} are allowed"
        )


def _failed_status(step: PlannedStep, error: ErrorInfo) -> StepStatus:
    """How a step ends that failed: a timeout of its own is told apart."""
    own = error.type == "TimeoutError" and error.step_id == step.step_id
    return StepStatus.TIMEOUT if own else StepStatus.FAILED


class StepRunner:
    """Walks lists of steps for one run."""

    def __init__(
        self, state: RunState, host: Host, chronicle: Chronicle, inline: InlineTasks
    ) -> None:
        self._state = state
        self._host = host
        self._chronicle = chronicle
        self._inline = inline

    async def walk(self, lane: Lane) -> Json:
        """Walks from where the frame stands to its end; returns the last stored output.

        Raises:
            StepError: A step failed and nothing in this list handles it.
        """
        frame = lane.frame
        while frame.position is not None:
            lane.scope.check()
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

    async def _step(self, lane: Lane, step: PlannedStep) -> str | None:
        """Runs the step at which a frame stands; returns the next one's id."""
        active = lane.frame.active or await self._enter(lane, step)
        try:
            raw = await self._work(lane, step, active)
            lane.frame.steps.update(active.joined)
            self._store(lane, step, active, raw)
        except StepError as error:
            self._abandon_inner(lane.frame, step, active)
            return self._failed(lane, step, active, error.at(step.step_id))
        except asyncio.CancelledError:
            self._cancelled(lane.frame, step, active)
            raise
        return self._ended(lane, step, active)

    async def _enter(self, lane: Lane, step: PlannedStep) -> ActiveStep:
        state, host = self._state, self._host
        if host.unwritten() >= MAX_UNWRITTEN:
            await host.flush(main_path=lane.is_main)
        await host.admit(lambda: not state.paused)
        lane.scope.check()
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

    async def _work(self, lane: Lane, step: PlannedStep, active: ActiveStep) -> Json:
        """The task and the branches, for the step or for each of its items: the raw output."""
        spans = bool(step.branches) or step.items is not None
        scope = Scope(lane.scope)
        work = (
            self._each(lane, step, active, scope)
            if step.items is not None
            else self._unit(lane, step, active, active.units[0], scope)
        )
        if active.deadline is None or not spans:
            return await work
        timer = self._host.sleep_until(active.deadline)
        in_time, raw = await bounded(lane.scope, work, scope, timer, name=active.path)
        if not in_time:
            raise timed_out(f"step {step.step_id}", step.timeout)
        return raw

    async def _each(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, scope: Scope
    ) -> list[Json]:
        if active.items is None and step.items is not None:
            items = evaluate(step.items, names_in_scope(self._state, lane), "forEach.items")
            if not isinstance(items, list):
                raise step_error("ExpressionError", "forEach.items is not a list")
            active.items = items
            active.results = [None] * len(items)
        items = active.items or []
        owners: dict[asyncio.Task[Json], Unit] = {}
        async with Children[Any](scope) as children:

            def begin(unit: Unit) -> None:
                child = children.scope()
                work = self._unit(lane, step, active, unit, child)
                owners[children.spawn(work, child, name=unit.path)] = unit

            for unit in active.units:
                begin(unit)
            while True:
                while active.next_item < len(items) and len(active.units) < step.max_concurrency:
                    index = active.next_item
                    active.next_item += 1
                    unit = Unit(path=f"{active.path}#{index}", index=index, item=items[index])
                    active.units.append(unit)
                    begin(unit)
                if not active.units:
                    return active.results
                task = await children.next_done()
                unit = owners.pop(task)
                self._item_ended(step, active, unit, task)

    def _item_ended(
        self, step: PlannedStep, active: ActiveStep, unit: Unit, task: asyncio.Task[Json]
    ) -> None:
        index = unit.index or 0
        try:
            active.results[index] = task.result()
        except StepError as error:
            error.at(step.step_id)
            if not error.handleable:
                raise
            if active.deadline is not None and self._host.now() >= active.deadline:
                # The item's time was up because the step's was, which no tolerance covers.
                raise timed_out(f"step {step.step_id}", step.timeout) from None
            active.failures.append({"index": index, **error.info.as_seen()})
            if len(active.failures) > step.tolerated_failures:
                raise
        active.units.remove(unit)

    async def _unit(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit, scope: Scope
    ) -> Json:
        """The task and the branches, once. An item's record is its own."""
        try:
            output = await self._task_and_branches(lane, step, active, unit, scope)
        except StepError as error:
            if unit.index is not None:
                unit.phase = "done"
                error.at(step.step_id)
                self._chronicle.item_ended(
                    step, active, unit, _failed_status(step, error.info), error
                )
            raise
        except asyncio.CancelledError:
            if unit.index is not None:
                unit.phase = "done"
                self._chronicle.item_ended(step, active, unit, StepStatus.CANCELLED, None)
            raise
        if unit.index is not None:
            # Where the task was all there was to do, its host has recorded the end.
            if step.inline or step.branches or step.spec.activity is not None:
                self._chronicle.item_ended(step, active, unit, StepStatus.COMPLETED, None)
            self._to_compensate(step, unit.path, active.iteration, stored_output(output))
        return output

    async def _task_and_branches(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit, scope: Scope
    ) -> Json:
        if unit.phase == "task":
            self._prepare(lane, step, unit)
            if step.inline:
                unit.output = await self._inline.run(
                    step, unit, active.deadline, partial(self._announce, lane, step, active, unit)
                )
            else:
                unit.output = await self._host.call(self._task_call(lane, step, active, unit))
            unit.phase = "branches" if step.branches else "done"
            unit.branches = [
                self._fork(lane, active, unit, branch_id, planned.first)
                for branch_id, planned in step.branches
            ]
        if unit.phase == "branches":
            await self._branches(lane, step, active, unit, scope)
            laid_over = stored_output(unit.output)
            results = zip(step.branches, unit.branches, strict=True)
            unit.output = laid_over | {branch_id: frame.result for (branch_id, _), frame in results}
            unit.branches = []
            unit.phase = "done"
        return unit.output

    def _prepare(self, lane: Lane, step: PlannedStep, unit: Unit) -> None:
        """Sets the unit's input: the ``input`` mapping, else ``data``."""
        if unit.input_ready:
            return
        unit.started_at = self._host.now()
        if step.input is None:
            unit.input = dict(lane.frame.data)
            check_size(unit.input, "the input")
        else:
            more = {} if unit.index is None else {"item": unit.item, "index": unit.index}
            names = names_in_scope(self._state, lane, **more)
            unit.input = evaluate(step.input, names, "the input")
        unit.input_ready = True

    def _task_call(self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit) -> TaskCall:
        final = not step.branches and step.spec.activity is None
        if unit.index is None:
            final = final and step.output is None and step.items is None
        record = self._chronicle.step(
            step,
            unit.path,
            active.iteration,
            StepStatus.ACTIVE,
            started_at=unit.started_at or active.started_at,
            decision=fixed_decision(step) if final and unit.index is None else None,
        )
        active.reported = final and unit.index is None
        summary = step.summary if unit.index is None else f"{step.summary} #{unit.index}"
        return TaskCall(
            spec=step.spec,
            input=unit.input,
            retry=step.retry,
            attempt_timeout=step.attempt_timeout,
            heartbeat_timeout=step.heartbeat_timeout,
            deadline=active.deadline,
            summary=summary if lane.is_main else f"{lane.frame.prefix}{summary}",
            idempotency_key=idempotency_key(self._state.first_run_id, unit.path, active.iteration),
            record=record,
            ended_seq=self._state.next_seq(),
            final=final,
            main_path=lane.is_main and unit.index is None,
        )

    async def _announce(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit
    ) -> None:
        """Records that a step waits, and writes everything that was kept."""
        self._chronicle.keep(
            self._chronicle.step(
                step,
                unit.path,
                active.iteration,
                StepStatus.WAITING,
                started_at=unit.started_at or active.started_at,
                input=unit.input,
                unit=unit,
            )
        )
        await self._host.flush(main_path=lane.is_main and unit.index is None)

    def _fork(
        self, lane: Lane, active: ActiveStep, unit: Unit, branch_id: str, first: str
    ) -> Frame:
        mark = "" if unit.index is None else f"#{unit.index}"
        return Frame(
            prefix=f"{active.path}/{branch_id}{mark}/",
            position=first,
            data=dict(lane.frame.data),
        )

    async def _branches(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit, scope: Scope
    ) -> None:
        try:
            async with Children[Any](scope) as children:
                for (_, planned), frame in zip(step.branches, unit.branches, strict=True):
                    if frame.ended:
                        continue
                    child = children.scope()
                    inner = Lane(frame, planned, child, outer=lane, unit=unit)
                    children.spawn(self.walk(inner), child, name=frame.prefix)
                while len(children):
                    (await children.next_done()).result()
        finally:
            self._join(lane.frame, active, unit)

    def _join(self, frame: Frame, active: ActiveStep, unit: Unit) -> None:
        """Has the steps of a unit's branches seen after the join, however it went."""
        seen = frame.steps if unit.index is None else active.joined
        for branch in unit.branches:
            seen.update(branch.steps)

    def _store(self, lane: Lane, step: PlannedStep, active: ActiveStep, raw: Json) -> None:
        """Puts the output where the following steps find it."""
        frame = lane.frame
        value = raw
        if step.output is not None:
            names = names_in_scope(self._state, lane, output=raw)
            value = evaluate(step.output, names, "the output")
        stored = stored_output(value)
        check_size(stored, "the output")
        frame.result = stored
        if isinstance(value, dict):
            frame.data.update(value)
        frame.steps[step.step_id] = step_view(
            StepStatus.COMPLETED,
            started_at=active.started_at,
            completed_at=self._host.now(),
            output=stored,
            errors=active.failures if step.items is not None else None,
        )
        if step.items is None:
            self._to_compensate(step, active.path, active.iteration, stored)

    def _ended(self, lane: Lane, step: PlannedStep, active: ActiveStep) -> str | None:
        """Decides where to go from a step whose work is done, and reports it."""
        frame = lane.frame
        names = names_in_scope(self._state, lane, output=frame.result)
        try:
            decision = decide_next(step, names)
        except TransitionError as failed:
            error = failed.error.at(step.step_id)
            view = frame.steps[step.step_id]
            return self._failed(lane, step, active, error, next_failed=failed, view=view)
        if not active.reported:
            self._chronicle.step_ended(
                step, active, StepStatus.COMPLETED, output=frame.result, decision=decision
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
        status = _failed_status(step, info)
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
        self._chronicle.step_ended(step, active, status, error=info, decision=decision)
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
                self._join(frame, active, unit)
            if unit.index is not None and unit.phase != "done" and unit.started_at is not None:
                self._chronicle.item_ended(step, active, unit, StepStatus.CANCELLED, None)
        frame.steps.update(active.joined)

    def _to_compensate(
        self, step: PlannedStep, path: str, iteration: int, output: JsonObject
    ) -> None:
        if step.compensation is not None:
            self._state.completed.append(
                Completed(step_id=step.step_id, path=path, iteration=iteration, output=output)
            )
