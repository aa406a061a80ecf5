"""The tasks that the interpreter does by itself: they cost no activity.

``core.noop``, ``core.set``, ``core.fail`` and ``core.publish`` are over at once; ``core.wait``,
``core.approval`` and ``core.event`` wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from definitions.durations import format_duration
from definitions.identity import event_id
from definitions.records import ErrorInfo
from worker.interpreter.events import give_back, next_event
from worker.interpreter.host import StepError, step_error
from worker.interpreter.publishing import published
from worker.interpreter.requests import approval_request, event_name, object_input, wait_until
from worker.interpreter.retries import next_attempt_at
from worker.interpreter.state import timestamp

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject
    from worker.interpreter.host import Host
    from worker.interpreter.plan import PlannedTask
    from worker.interpreter.state import RunState, Unit

#: Records that a step waits, and writes what is kept.
Announce: TypeAlias = Callable[[], Awaitable[None]]

#: Waits that are shorter are not announced: a run that only sleeps a moment writes nothing for it.
LONG_WAIT = timedelta(seconds=1)


def timed_out(what: str, limit: timedelta | None = None) -> StepError:
    """The error of a step whose time is up."""
    within = f" of {format_duration(limit)}" if limit is not None else ""
    return step_error("TimeoutError", f"{what} took longer than its timeout{within}")


@dataclass(frozen=True, slots=True)
class InlineCall:
    """A task to do: of which step, in which unit and iteration of it, and until when."""

    task: PlannedTask
    unit: Unit
    iteration: int
    deadline: datetime | None
    announce: Announce


class InlineTasks:
    """Runs them for one run."""

    def __init__(self, state: RunState, host: Host) -> None:
        self._state = state
        self._host = host

    async def run(self, call: InlineCall) -> Json:
        """Runs a step's task with its retries.

        Raises:
            StepError: Its attempts are spent, or its time is.
        """
        unit = call.unit
        while True:
            if unit.retry_at is not None:
                await self._host.sleep_until(unit.retry_at, seq=unit.turn)
                unit.retry_at = None
            try:
                return await self._attempt(call)
            except StepError as error:
                unit.tries += 1
                error.info = error.info.model_copy(update={"attempts": unit.tries})
                unit.due = None
                unit.retry_at = next_attempt_at(
                    call.task.retry,
                    error,
                    unit.tries,
                    now=self._host.now(),
                    deadline=call.deadline,
                )
                if unit.retry_at is None:
                    raise
                unit.turn = self._state.next_seq()

    async def _attempt(self, call: InlineCall) -> Json:
        given = call.unit.input
        match call.task.spec.task_id:
            case "core.noop":
                return {}
            case "core.set":
                self._state.variables.update(object_input(given, "core.set"))
                return {}
            case "core.fail":
                raise _failure(given)
            case "core.publish":
                return self._publish(call)
            case "core.wait":
                return await self._wait(call)
            case "core.approval":
                return await self._approval(call)
            case "core.event":
                return await self._event(call)
            case other:
                raise step_error("UnknownTask", f"{other} is no built-in task")

    def _publish(self, call: InlineCall) -> Json:
        state, unit = self._state, call.unit
        record = published(
            state,
            unit.input,
            path=unit.path,
            iteration=call.iteration,
            now=self._host.now(),
            event_id=event_id(
                state.org_id,
                state.first_run_id,
                "published",
                path=unit.path,
                iteration=call.iteration,
            ),
        )
        self._host.record(record)
        return {"eventId": str(record.event_id)}

    async def _wait(self, call: InlineCall) -> Json:
        unit, now = call.unit, self._host.now()
        begins = unit.due is None
        due = unit.due or wait_until(unit.input, now)
        end = due if call.deadline is None else min(due, call.deadline)
        if begins:
            unit.due = due
            unit.turn = self._state.next_seq()
            unit.waiting_for = {"until": timestamp(due)}
            if end - now >= LONG_WAIT:
                await call.announce()
        await self._host.sleep_until(end, seq=unit.turn)
        unit.waiting_for = None
        if end < due:
            raise timed_out(f"step {call.task.step_id}", call.task.timeout)
        return {}

    async def _event(self, call: InlineCall) -> Json:
        unit = call.unit
        if unit.waiting_for is None:
            name = event_name(unit.input)
            unit.event = next_event(self._state, name)
            if unit.event is not None:
                return unit.event["data"]
            unit.turn = self._state.next_seq()
            unit.waiting_for = {"event": name}
            await self._or_give_back(unit, call.announce())
        arrived = self._host.wait_for(lambda: unit.event is not None, call.deadline, seq=unit.turn)
        await self._or_give_back(unit, arrived)
        waited_for, unit.waiting_for = unit.waiting_for, None
        if unit.event is None:
            raise timed_out(f"the event {waited_for['event']!r}", call.task.timeout)
        return unit.event["data"]

    async def _or_give_back(self, unit: Unit, waiting: Awaitable[object]) -> None:
        """Waits; a step that is told to stop does not keep the event that it has just got."""
        try:
            await waiting
        except asyncio.CancelledError:
            if unit.event is not None and unit.waiting_for is not None:
                give_back(self._state, unit.waiting_for["event"], unit.event)
                self._host.look()
            raise

    async def _approval(self, call: InlineCall) -> Json:
        unit = call.unit
        if unit.waiting_for is None:
            unit.waiting_for = approval_request(unit.input)
            unit.turn = self._state.next_seq()
            await call.announce()
        await self._host.wait_for(lambda: unit.verdict is not None, call.deadline, seq=unit.turn)
        request, unit.waiting_for = unit.waiting_for, None
        # A verdict that came at the last moment counts: the person was told that it does.
        if unit.verdict is None:
            raise timed_out(f"the approval {call.task.step_id}", call.task.timeout)
        last = unit.votes[-1]
        result: JsonObject = {
            "decision": unit.verdict,
            "approver": last["approver"],
            "comment": last.get("comment"),
            "payload": last.get("payload"),
            "decidedAt": last["decidedAt"],
            "decisions": list(unit.votes),
        }
        if unit.verdict == "rejected" and request["onRejected"] == "fail":
            comment = f": {last['comment']}" if last.get("comment") else ""
            raise step_error(
                "ApprovalRejected", f"{last['approver']} rejected it{comment}", details=result
            )
        return result


def _failure(value: Json) -> StepError:
    given = value if isinstance(value, dict) else {}
    info = ErrorInfo(
        type=str(given.get("errorType") or "TaskError"),
        code=None if given.get("errorCode") is None else str(given["errorCode"]),
        message=str(given.get("message") or "the step was told to fail"),
        details=given.get("details"),
    )
    return StepError(info)
