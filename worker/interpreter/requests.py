"""What the tasks that wait are asked for, read from their inputs.

Every problem of an input is an ``InputError`` of the step, which no policy retries.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from definitions.durations import DurationError, parse_duration
from worker.interpreter.host import step_error

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject

#: Characters of an event's name, type or subject.
MAX_NAME = 255


def object_input(value: Json, task: str) -> JsonObject:
    """The input of a task that takes an object."""
    if not isinstance(value, dict):
        raise step_error("InputError", f"the input of {task} is not an object")
    return value


def wait_until(value: Json, now: datetime) -> datetime:
    """When ``core.wait`` ends."""
    given = object_input(value, "core.wait")
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


def event_name(value: Json) -> str:
    """The event that ``core.event`` waits for."""
    return required_name(object_input(value, "core.event"), "name", "core.event")


def required_name(given: JsonObject, member: str, task: str) -> str:
    """A member that must be a name: text, and not too long."""
    name = given.get(member)
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
        raise step_error(
            "InputError", f"{task}: {member} is not a text of 1 to {MAX_NAME} characters"
        )
    return name


def approval_request(value: Json) -> JsonObject:
    """What ``core.approval`` asks for, with every default filled in."""
    given = object_input(value, "core.approval")
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


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")  # noqa: TRY004 (caught with the parse errors)
    return value
