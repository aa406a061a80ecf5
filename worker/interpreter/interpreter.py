"""The interpreter: runs a definition from a state to its end on any host.

Deterministic: it is a pure function of the plan, the state and what the host answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from definitions.durations import format_duration
from definitions.outputs import json_size
from definitions.records import Decision, ErrorInfo
from definitions.start import MAX_RUN_VALUE_BYTES
from definitions.statuses import InstanceStatus
from worker.interpreter.children import Scope, bounded
from worker.interpreter.chronicle import Chronicle
from worker.interpreter.events import receive
from worker.interpreter.host import StepError, step_error
from worker.interpreter.inline import InlineTasks
from worker.interpreter.lane import Lane, names_in_scope
from worker.interpreter.operators import find_skippable
from worker.interpreter.people import DecisionRequest, check_decision, take_decision
from worker.interpreter.rollback import Rollback
from worker.interpreter.steps import StepRunner
from worker.interpreter.transitions import decide_failure
from worker.interpreter.values import evaluate, refuse_references

if TYPE_CHECKING:
    from datetime import datetime

    from definitions.calls import RecordedEnd
    from definitions.jsontypes import Json, JsonObject
    from definitions.records import InstanceRecord
    from worker.interpreter.events import EventMessage, Reception
    from worker.interpreter.host import Host
    from worker.interpreter.operators import OperatorRequest, SkipRequest
    from worker.interpreter.plan import Plan
    from worker.interpreter.state import RunState


class Interpreter:
    """One run. ``run`` may be called on a new state, or on one that was taken up again."""

    def __init__(self, plan: Plan, state: RunState, host: Host, *, room: int = 0) -> None:
        self._plan = plan
        self._host = host
        self.state = state
        self._chronicle = Chronicle(plan, state, host)
        inline = InlineTasks(state, host)
        self._runner = StepRunner(state, host, self._chronicle, inline, room=room)
        self._rollback = Rollback(plan, state, host, inline)
        self._scope = Scope()
        self._main: asyncio.Task[Json] | None = None

    async def run(self) -> RunState:
        """Runs to the end; the state says how it ended. Everything is written when this returns."""
        state = self.state
        if state.stage == "main":
            await self._run_main()
            state.stage = "rollback" if self._rolls_back() else "done"
        if state.stage == "rollback":
            outcome = await self._rollback.run()
            if state.failure is not None:
                state.failure["rollback"] = outcome
            state.stage = "done"
        if state.ended_at is None:
            state.ended_at = self._host.now()
            self._chronicle.run_ended()
        await self._host.flush(main_path=True, seq=state.next_seq())
        return state

    def cancel(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Ends the run as cancelled. A rollback that has begun is not stopped."""
        if self.state.stage != "main":
            return
        if not self.state.cancelling:
            self._chronicle.action("cancel", actor=actor, reason=reason)
        self.state.cancelling = True
        self._scope.cancel()
        if self._main is not None:
            self._main.cancel()

    def pause(self, request: OperatorRequest) -> bool:
        """Starts no new step until ``resume``; returns whether that is a change."""
        if self.state.paused or self.state.status.ended:
            return False
        self._chronicle.action("pause", actor=request.actor, reason=request.reason)
        self.state.paused = True
        self.state.status = InstanceStatus.SUSPENDED
        return True

    def resume(self, request: OperatorRequest) -> bool:
        """Goes on after ``pause``; returns whether that is a change."""
        if not self.state.paused or self.state.status.ended:
            return False
        self._chronicle.action("resume", actor=request.actor, reason=request.reason)
        self.state.paused = False
        self.state.status = InstanceStatus.RUNNING
        return True

    def check_skip(self, request: SkipRequest) -> None:
        """Raises ``RefusedError`` when ``skip`` would."""
        find_skippable(self.state, request.step_id)

    def skip(self, request: SkipRequest) -> JsonObject:
        """Goes on from a step that waits or whose task runs; returns what the operator is told."""
        active, unit = find_skippable(self.state, request.step_id)
        self._chronicle.action(
            "skip",
            actor=request.actor,
            reason=request.reason,
            path=unit.path,
            iteration=active.iteration,
        )
        self._runner.skip(unit)
        return {"stepId": unit.path, "accepted": True}

    def receive(self, message: EventMessage) -> Reception:
        """Takes an event; whoever waits for it goes on, else it is kept."""
        if self.state.stage != "main":
            return "refused"
        reception = receive(self.state, message)
        if reception != "repeated":
            said: JsonObject = {"name": message.name, "reception": reception}
            if message.id is not None:
                said["id"] = message.id
            self._chronicle.action("event", data=said)
        return reception

    def crash(self, message: str) -> None:
        """Ends the run as failed by a fault of our own, and says so in its records."""
        state = self.state
        state.failure = ErrorInfo(type="InternalError", message=message).to_json()
        state.stage = "done"
        self._end(InstanceStatus.FAILED)
        if state.ended_at is None:
            state.ended_at = self._host.now()
            self._chronicle.run_ended()

    def adopt(self, end: RecordedEnd) -> None:
        """Ends the run as it has ended on record."""
        state = self.state
        state.status, state.ended_at = InstanceStatus(end.status), end.ended_at
        state.output, state.failure = end.output, end.error
        state.stage = "done"

    def check_decision(self, request: DecisionRequest) -> None:
        """Raises ``RefusedError`` when ``decide`` would."""
        check_decision(self.state, request)

    def decide(self, request: DecisionRequest) -> JsonObject:
        """Takes a person's decision; returns what the person is told."""
        return take_decision(self.state, request, self._host.now())

    def instance_record(self) -> InstanceRecord:
        """The run as it stands now, for a flush."""
        return self._chronicle.instance()

    async def _run_main(self) -> None:
        state = self.state
        work = self._main_in_time()
        self._main = asyncio.get_running_loop().create_task(work, name="main path")
        if state.cancelling:
            self.cancel()
        try:
            output = await self._main
        except StepError as error:
            self._fail(error)
        except asyncio.CancelledError:
            if not state.cancelling:
                self._main.cancel()
                raise
            self._end(InstanceStatus.CANCELLED)
        else:
            if state.cancelling and not self._host.ahead:
                # The last task ended well although it was told to stop; the run still was.
                self._end(InstanceStatus.CANCELLED)
            else:
                state.output = output
                self._end(InstanceStatus.COMPLETED)

    def _fail(self, error: StepError) -> None:
        state = self.state
        timed_out = error.info.type == "WorkflowTimeout"
        if state.cancelling and not timed_out and not self._host.ahead:
            self._end(InstanceStatus.CANCELLED)
            return
        state.error, state.failure = error.info.as_seen(), error.info.to_json()
        self._end(InstanceStatus.FAILED)

    def _end(self, status: InstanceStatus) -> None:
        self._runner.abandon(self.state.main, self._plan.main)
        self.state.paused = False
        self.state.status = status

    async def _main_in_time(self) -> Json:
        state, timeout = self.state, self._plan.timeout
        work_scope = Scope(self._scope)
        if timeout is None:
            return await self._walk_main(work_scope)
        if state.deadline is None:
            state.deadline = state.started_at + timeout
        timer = self._deadline(state.deadline)
        in_time, output = await bounded(
            self._scope, self._walk_main(work_scope), work_scope, timer, name="run"
        )
        if not in_time:
            raise StepError(
                ErrorInfo(
                    type="WorkflowTimeout",
                    message=f"the run took longer than its timeout of {format_duration(timeout)}",
                    step_id=state.current_step_id,
                ),
                handleable=False,
                retryable=False,
            )
        return output

    async def _deadline(self, deadline: datetime) -> None:
        state = self.state
        state.deadline_turn = state.deadline_turn or state.next_seq()
        await self._host.sleep_until(deadline, seq=state.deadline_turn)

    async def _walk_main(self, scope: Scope) -> Json:
        lane = Lane(self.state.main, self._plan.main, scope)
        result = await self._walk_on(lane)
        if self._plan.output is None:
            output = result
        else:
            names = names_in_scope(self.state, lane, output=result)
            output = evaluate(self._plan.output, names, "the run's output")
        refuse_references(output, "the run's output")
        if (size := json_size(output)) > MAX_RUN_VALUE_BYTES:
            raise step_error(
                "PayloadTooLarge",
                f"the run's output has {size} bytes, at most {MAX_RUN_VALUE_BYTES} are allowed",
            )
        return output

    async def _walk_on(self, lane: Lane) -> Json:
        """Walks the main path, also from where the document's own ``onFailure`` leads."""
        while True:
            try:
                return await self._runner.walk(lane)
            except StepError as error:
                lane.frame.position = self._handle_globally(error)

    def _handle_globally(self, error: StepError) -> str | None:
        """Where the document's own ``onFailure`` sends the run, once in a run.

        Raises:
            StepError: It does not handle this error.
        """
        state, on_failure = self.state, self._plan.definition.on_failure
        if not error.handleable or state.handled_globally:
            raise error
        decision = decide_failure(on_failure, error.info)
        if decision.kind == "raise" or decision.target is None:
            raise error
        state.handled_globally = True
        state.main.result = {}
        path = state.current_step_id or ""
        self._chronicle.decided(
            path,
            state.iterations.get(path, 1),
            Decision(kind="global", target=decision.target, evaluated=decision.evaluated),
        )
        return decision.target

    def _rolls_back(self) -> bool:
        state, rollback = self.state, self._plan.definition.rollback
        if not state.completed or state.status is InstanceStatus.COMPLETED:
            return False
        when = rollback.on if rollback is not None else ["failed"]
        return str(state.status) in when
