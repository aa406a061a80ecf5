"""What a step does: its task and its branches, once, or for each of its items.

Every await is a host's operation or a child; what is needed after it is in the state before it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from definitions.identity import idempotency_key
from definitions.outputs import json_size, stored_output
from definitions.references import is_reference
from definitions.statuses import StepStatus
from definitions.tasks import CHILD_TASK
from worker.interpreter.children import Children, Scope, bounded
from worker.interpreter.host import StepError, TaskCall, step_error
from worker.interpreter.inline import InlineCall, timed_out
from worker.interpreter.lane import Lane, names_in_scope
from worker.interpreter.state import Completed, Frame, Unit
from worker.interpreter.transitions import fixed_decision
from worker.interpreter.values import (
    check_size,
    evaluate,
    failed_status,
    refuse_references,
    required,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from definitions.jsontypes import Json, JsonObject
    from definitions.requirements import FieldRules
    from worker.interpreter.budget import StateBudget
    from worker.interpreter.chronicle import Chronicle
    from worker.interpreter.host import Host
    from worker.interpreter.inline import InlineTasks
    from worker.interpreter.plan import PlannedStep
    from worker.interpreter.state import ActiveStep, RunState


class SkippedError(Exception):
    """An operator has skipped the step whose task was to be run."""


def _is_skipped(unit: Unit) -> bool:
    """Asked again after every await: an operator may have come meanwhile."""
    return unit.skipped


def _width(lane: Lane, step: PlannedStep, active: ActiveStep) -> int:
    """How many units of this step may be under way at once in the whole run."""
    if active.items is None:
        return lane.width
    return lane.width * max(1, min(step.max_concurrency, len(active.items)))


class StepWork:
    """Does the work of steps, for one run. ``walk`` walks a branch to its end."""

    def __init__(
        self,
        state: RunState,
        host: Host,
        chronicle: Chronicle,
        inline: InlineTasks,
        *,
        budget: StateBudget,
        walk: Callable[[Lane], Coroutine[Any, Any, Json]],
    ) -> None:
        self._state = state
        self._host = host
        self._chronicle = chronicle
        self._inline = inline
        self._budget = budget
        self._walk = walk
        #: Who runs the task of a unit, by the unit's path, so that it can be told to stop.
        self._busy: dict[str, asyncio.Task[Any]] = {}

    async def run(self, lane: Lane, step: PlannedStep, active: ActiveStep) -> Json:
        """The task and the branches, for the step or for each of its items: the raw output.

        Raises:
            StepError: It failed, or its time was up.
            SkippedError: It is to be skipped.
        """
        scope = Scope(lane.scope)
        work = (
            self._each(lane, step, active, scope)
            if step.items is not None
            else self._unit(lane, step, active, active.units[0], scope)
        )
        # A task by itself is bounded by its host.
        bounds_itself = not step.branches and step.items is None and step.spec.task_id != CHILD_TASK
        if active.deadline is None or bounds_itself:
            return await work
        timer = self._deadline(active)
        in_time, raw = await bounded(lane.scope, work, scope, timer, name=active.path)
        if not in_time:
            raise timed_out(f"step {step.step_id}", step.timeout)
        return raw

    def skip(self, unit: Unit) -> None:
        """Has a unit's task skipped: what runs is told to stop, what waits no longer does."""
        unit.skipped = True
        busy = self._busy.get(unit.path)
        if busy is not None:
            busy.cancel()

    def join(self, frame: Frame, active: ActiveStep, unit: Unit) -> None:
        """Has the steps of a unit's branches seen after the join, however it went."""
        seen = frame.steps if unit.index is None else active.joined
        for branch in unit.branches:
            seen.update(branch.steps)

    def to_compensate(
        self, step: PlannedStep, path: str, iteration: int, output: JsonObject
    ) -> None:
        """Remembers a completed step for the rollback, where it has a compensation."""
        if step.compensation is not None:
            self._state.completed.append(
                Completed(step_id=step.step_id, path=path, iteration=iteration, output=output)
            )

    async def _deadline(self, active: ActiveStep) -> None:
        if active.deadline is not None:
            active.turn = active.turn or self._state.next_seq()
            await self._host.sleep_until(active.deadline, seq=active.turn)

    async def _each(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, scope: Scope
    ) -> list[Json]:
        if active.items is None and step.items is not None:
            items = evaluate(step.items, names_in_scope(self._state, lane), "forEach.items")
            if is_reference(items):
                refuse_references(items, "forEach.items")
            if not isinstance(items, list):
                raise step_error("ExpressionError", "forEach.items is not a list")
            active.items = items
            self._budget.spend(json_size(items), "its items")
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
        self._budget.spend(json_size(active.results[index]), "the outputs of its items")

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
                    step, active, unit, failed_status(step, error.info), error
                )
            raise
        except SkippedError:
            if unit.index is None:
                raise
            unit.phase = "done"
            unit.output = {}
            self._chronicle.item_ended(step, active, unit, StepStatus.SKIPPED, None)
            return unit.output
        except asyncio.CancelledError:
            unit.phase = "done"
            if unit.index is not None:
                self._chronicle.item_ended(step, active, unit, StepStatus.CANCELLED, None)
            raise
        if unit.index is not None:
            # Where the task was all there was to do, its host has recorded the end.
            reported = step.spec.self_recorded and self._output_rules(step) is None
            if step.inline or step.branches or not reported:
                self._chronicle.item_ended(step, active, unit, StepStatus.COMPLETED, None)
            self.to_compensate(step, unit.path, active.iteration, stored_output(output))
        return output

    async def _task_and_branches(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit, scope: Scope
    ) -> Json:
        if unit.phase == "task":
            self._prepare(lane, step, unit)
            output = await self._task(lane, step, active, unit, scope)
            unit.output = required(self._output_rules(step), output, "the output")
            if step.branches:
                self._budget.spend(json_size(unit.output), "its task's output")
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

    async def _task(
        self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit, scope: Scope
    ) -> Json:
        """The task alone, which ``skip`` can end."""
        if _is_skipped(unit):
            raise SkippedError
        busy = asyncio.current_task()
        if busy is None:
            raise AssertionError("steps are walked by asyncio's tasks")
        self._busy[unit.path] = busy
        try:
            if not step.inline:
                if not step.spec.self_recorded and not unit.turn:
                    # No activity of ours does it, so nobody else says that it has begun.
                    await self._announce(lane, step, active, unit, StepStatus.ACTIVE)
                return await self._host.call(self._task_call(lane, step, active, unit))
            announce = partial(self._announce, lane, step, active, unit)
            return await self._inline.run(
                InlineCall(step, unit, active.iteration, active.deadline, announce)
            )
        except (asyncio.CancelledError, StepError):
            # Who is told to stop as well, by a sibling, the clock or the whole run, stops. A
            # failure counts behind which the run has gone on already.
            if _is_skipped(unit) and not scope.cancelled and not self._host.ahead:
                raise SkippedError from None
            raise
        finally:
            del self._busy[unit.path]
            if _is_skipped(unit) and not scope.cancelled:
                # The one cancellation was the skip's, and has done its work. An answer that came
                # all the same counts.
                busy.uncancel()
                unit.skipped = False

    def _prepare(self, lane: Lane, step: PlannedStep, unit: Unit) -> None:
        """Sets the unit's input: the ``input`` mapping, else ``data``."""
        if unit.input_ready:
            return
        unit.started_at = self._host.now()
        if step.input is None:
            unit.input = dict(lane.frame.data)
            size = check_size(unit.input, "the input")
        else:
            more = {} if unit.index is None else {"item": unit.item, "index": unit.index}
            names = names_in_scope(self._state, lane, **more)
            unit.input = evaluate(step.input, names, "the input")
            size = json_size(unit.input)
        rules = self._state.requirements.get(step.step_id)
        unit.input = required(rules.input if rules else None, unit.input, "the input")
        self._budget.spend(size, "its input")
        unit.input_ready = True

    def _output_rules(self, step: PlannedStep) -> FieldRules | None:
        """What an operator has said of the task's output."""
        rules = self._state.requirements.get(step.step_id)
        return rules.output if rules else None

    def _task_call(self, lane: Lane, step: PlannedStep, active: ActiveStep, unit: Unit) -> TaskCall:
        final = not step.branches and step.spec.self_recorded
        final = final and self._output_rules(step) is None
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
        if not step.spec.self_recorded:
            # Neither a child run nor another worker could read what it refers to.
            refuse_references(unit.input, f"the input of {step.spec.task_id}")
        unit.turn = unit.turn or self._state.next_seq()
        return TaskCall(
            seq=unit.turn,
            spec=step.spec,
            input=unit.input,
            retry=step.retry,
            attempt_timeout=step.attempt_timeout,
            heartbeat_timeout=step.heartbeat_timeout,
            deadline=active.deadline,
            output_limit=self._budget.share(_width(lane, step, active)),
            summary=summary if lane.is_main else f"{lane.frame.prefix}{summary}",
            idempotency_key=idempotency_key(self._state.first_run_id, unit.path, active.iteration),
            record=record,
            ended_seq=self._state.next_seq(),
            final=final,
            main_path=lane.is_main and unit.index is None,
            chains=lane.is_main and step.chains,
            room=self._budget.room,
        )

    async def _announce(
        self,
        lane: Lane,
        step: PlannedStep,
        active: ActiveStep,
        unit: Unit,
        status: StepStatus = StepStatus.WAITING,
    ) -> None:
        """Records that a step waits or has begun, and writes everything that was kept."""
        self._chronicle.keep(
            self._chronicle.step(
                step,
                unit.path,
                active.iteration,
                status,
                started_at=unit.started_at or active.started_at,
                input=unit.input,
                unit=unit,
            )
        )
        await self._host.flush(
            main_path=lane.is_main and unit.index is None, seq=self._state.next_seq()
        )

    def _fork(
        self, lane: Lane, active: ActiveStep, unit: Unit, branch_id: str, first: str
    ) -> Frame:
        mark = "" if unit.index is None else f"#{unit.index}"
        return Frame(
            prefix=f"{active.path}/{branch_id}{mark}/",
            position=first,
            data=lane.frame.data,
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
                    width = _width(lane, step, active) * len(step.branches)
                    inner = Lane(frame, planned, child, outer=lane, unit=unit, width=width)
                    children.spawn(self._walk(inner), child, name=frame.prefix)
                while len(children):
                    (await children.next_done()).result()
        finally:
            self.join(lane.frame, active, unit)
