"""The tasks that the interpreter does by itself: they cost no activity.

``core.noop``, ``core.set``, ``core.fail``, ``core.wait`` and ``core.approval``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from definitions.durations import DurationError, format_duration, parse_duration
from definitions.errors import NEVER_RETRIED
from definitions.records import ErrorInfo
from worker.interpreter.host import StepError, step_error
from worker.interpreter.state import timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from definitions.document import RetryPolicy
    from definitions.jsontypes import Json, JsonObject
    from worker.interpreter.host import Host
    from worker.interpreter.plan import PlannedTask
    from worker.interpreter.state import RunState, Unit

#: Waits that are shorter are not announced: a run that only sleeps a moment writes nothing for it.
LONG_WAIT = timedelta(seconds=1)


def backoff(retry: RetryPolicy, failed: int) -> timedelta:
    """How long is waited after the ``failed``-th attempt (from 1)."""
    delay = parse_duration(retry.delay)
    if retry.strategy == "fixed":
        return delay
    cap = parse_duration(retry.max_delay) if retry.max_delay else timedelta(days=36_500)
    try:
        return min(delay * retry.backoff_rate ** (failed - 1), cap)
    except OverflowError:
        return cap


def timed_out(what: str, limit: timedelta | None = None) -> StepError:
    """The error of a step whose time is up."""
    within = f" of {format_duration(limit)}" if limit is not None else ""
    return step_error("TimeoutError", f"{what} took longer than its timeout{within}")


class InlineTasks:
    """Runs them for one run. ``announce`` records that a step waits, and writes what is kept."""

    def __init__(self, state: RunState, host: Host) -> None:
        self._state = state
        self._host = host

    async def run(
        self,
        step: PlannedTask,
        unit: Unit,
        deadline: datetime | None,
        announce: Callable[[], Awaitable[None]],
    ) -> Json:
        """Runs a step's task with its retries.

        Raises:
            StepError: Its attempts are spent, or its time is.
        """
        while True:
            if unit.retry_at is not None:
                await self._host.sleep_until(unit.retry_at)
                unit.retry_at = None
            try:
                return await self._attempt(step, unit, deadline, announce)
            except StepError as error:
                unit.tries += 1
                error.info = error.info.model_copy(update={"attempts": unit.tries})
                retry_at = self._retry_at(step.retry, unit, error, deadline)
                if retry_at is None:
                    raise
                unit.due = None
                unit.retry_at = retry_at

    def _retry_at(
        self, retry: RetryPolicy, unit: Unit, error: StepError, deadline: datetime | None
    ) -> datetime | None:
        """When the next attempt begins, or None when there is none."""
        kind = error.info.type
        if not error.retryable or kind in NEVER_RETRIED or kind in retry.non_retryable_errors:
            return None
        if unit.tries >= retry.max_attempts:
            return None
        retry_at = self._host.now() + backoff(retry, unit.tries)
        if deadline is not None and retry_at >= deadline:
            return None
        return retry_at

    async def _attempt(
        self,
        step: PlannedTask,
        unit: Unit,
        deadline: datetime | None,
        announce: Callable[[], Awaitable[None]],
    ) -> Json:
        match step.spec.task_id:
            case "core.noop":
                return {}
            case "core.set":
                self._state.variables.update(_object(unit.input, "core.set"))
                return {}
            case "core.fail":
                raise _failure(unit.input)
            case "core.wait":
                return await self._wait(step, unit, deadline, announce)
            case "core.approval":
                return await self._approval(step, unit, deadline, announce)
            case other:
                raise step_error("UnknownTask", f"{other} is no built-in task")

    async def _wait(
        self,
        step: PlannedTask,
        unit: Unit,
        deadline: datetime | None,
        announce: Callable[[], Awaitable[None]],
    ) -> Json:
        now = self._host.now()
        begins = unit.due is None
        due = unit.due or _due(_object(unit.input, "core.wait"), now)
        end = due if deadline is None else min(due, deadline)
        if begins:
            unit.due = due
            unit.waiting_for = {"until": timestamp(due)}
            if end - now >= LONG_WAIT:
                await announce()
        await self._host.sleep_until(end)
        unit.waiting_for = None
        if end < due:
            raise timed_out(f"step {step.step_id}", step.timeout)
        return {}

    async def _approval(
        self,
        step: PlannedTask,
        unit: Unit,
        deadline: datetime | None,
        announce: Callable[[], Awaitable[None]],
    ) -> Json:
        if unit.waiting_for is None:
            unit.waiting_for = _approval_request(unit.input)
            await announce()
        await self._host.wait_for(lambda: unit.verdict is not None, deadline)
        request, unit.waiting_for = unit.waiting_for, None
        # A verdict that came at the last moment counts: the person was told that it does.
        if unit.verdict is None:
            raise timed_out(f"the approval {step.step_id}", step.timeout)
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


def _object(value: Json, task: str) -> JsonObject:
    if not isinstance(value, dict):
        raise step_error("InputError", f"the input of {task} is not an object")
    return value


def _failure(value: Json) -> StepError:
    given = value if isinstance(value, dict) else {}
    info = ErrorInfo(
        type=str(given.get("errorType") or "TaskError"),
        code=None if given.get("errorCode") is None else str(given["errorCode"]),
        message=str(given.get("message") or "the step was told to fail"),
        details=given.get("details"),
    )
    return StepError(info)


def _due(given: JsonObject, now: datetime) -> datetime:
    duration, until = given.get("duration"), given.get("until")
    if (duration is None) == (until is None):
        raise step_error("InputError", "core.wait takes either duration or until")
    try:
        if duration is not None:
            return now + parse_duration(_text(duration))
        moment = datetime.fromisoformat(_text(until))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (DurationError, ValueError, OverflowError) as error:
        raise step_error("InputError", f"core.wait: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")  # noqa: TRY004 (caught with the parse errors)
    return value


def _approval_request(value: Json) -> JsonObject:
    given = _object(value, "core.approval")
    approvers = given.get("approvers") or []
    required = given.get("approvalsRequired", 1)
    on_rejected = given.get("onRejected", "fail")
    form = given.get("form")
    if not isinstance(approvers, list) or not all(isinstance(one, str) for one in approvers):
        raise step_error("InputError", "core.approval: approvers is not a list of names")
    if not isinstance(required, int) or isinstance(required, bool) or required < 1:
        raise step_error("InputError", "core.approval: approvalsRequired is not a number from 1")
    if approvers and required > len(set(approvers)):
        raise step_error(
            "InputError",
            f"core.approval: {required} approvals are required of {len(set(approvers))} approvers",
        )
    if on_rejected not in {"fail", "continue"}:
        raise step_error("InputError", "core.approval: onRejected is either fail or continue")
    if form is not None and not isinstance(form, dict):
        raise step_error("InputError", "core.approval: form is not a JSON Schema")
    return {
        "title": given.get("title"),
        "description": given.get("description"),
        "approvers": approvers,
        "approvalsRequired": required,
        "form": form,
        "onRejected": on_rejected,
    }
