"""Decisions by people: who may decide what, and what a decision changes.

Deciding only changes the state; the step that waits sees it there. So a decision is taken even
between two runs of a chain, before any coroutine has been taken up again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from definitions.errors import RefusedError
from definitions.inputs import check_input
from definitions.outputs import MAX_VALUE_BYTES, json_size
from definitions.references import KEY, first_reference
from worker.interpreter.state import timestamp, under_way

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from definitions.jsontypes import JsonObject
    from worker.interpreter.state import Frame, RunState, Unit


#: What a person fills in (UTF-8 bytes of its JSON). It becomes part of the step's output.
MAX_PAYLOAD_BYTES = 64 * 1024


class DecisionRequest(BaseModel):
    """A decision as it comes in.

    ``step_id`` is a step's id, or its path where several steps of that id wait.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    step_id: Annotated[str, Field(min_length=1, max_length=255)]
    decision: Literal["approved", "rejected"]
    approver: Annotated[str, Field(min_length=1, max_length=255)]
    comment: Annotated[str, Field(max_length=4096)] | None = None
    payload: JsonValue = None


def waiting_units(frame: Frame) -> Iterator[tuple[str, Unit]]:
    """Every approval that waits, as (step id, unit), in the order of the frames."""
    for active, unit in under_way(frame):
        if unit.is_open and "approvalsRequired" in (unit.waiting_for or {}):
            yield active.step_id, unit


def find_waiting(state: RunState, name: str) -> Unit:
    """The approval with this path, or with this step id where only one waits.

    Raises:
        RefusedError: None waits under that name, or several do.
    """
    waiting = list(waiting_units(state.main)) if state.stage == "main" else []
    for _, unit in waiting:
        if unit.path == name:
            return unit
    matches = [unit for step_id, unit in waiting if step_id == name]
    if len(matches) == 1:
        return matches[0]
    paths = ", ".join(unit.path for _, unit in waiting)
    if matches:
        raise RefusedError(f"several approvals of {name} wait; name one by its path: {paths}")
    hint = f"waiting are: {paths}" if waiting else "no step waits for a decision"
    raise RefusedError(f"{name} does not wait for a decision; {hint}")


def check_decision(state: RunState, request: DecisionRequest) -> Unit:
    """The approval that a decision is for.

    Raises:
        RefusedError: It is not waiting, the approver is not one of its approvers or has decided
            already, or the payload does not fit its form.
    """
    unit = find_waiting(state, request.step_id)
    wanted: JsonObject = unit.waiting_for or {}
    if unit.verdict is not None:
        raise RefusedError(f"{unit.path} is decided already")
    if wanted["approvers"] and request.approver not in wanted["approvers"]:
        raise RefusedError(f"{request.approver} is not an approver of {unit.path}")
    if any(vote["approver"] == request.approver for vote in unit.votes):
        raise RefusedError(f"{request.approver} has decided on {unit.path} already")
    if first_reference(request.payload) is not None:
        raise RefusedError(f"the payload has a member {KEY}, which is reserved")
    size = json_size(request.payload)
    if size > MAX_PAYLOAD_BYTES:
        raise RefusedError(f"the payload has {size} bytes, at most {MAX_PAYLOAD_BYTES} are allowed")
    if json_size(unit.votes) + 2 * size > MAX_VALUE_BYTES // 4:
        raise RefusedError(f"the payloads of all decisions on {unit.path} are too big together")
    judged = request.decision == "approved" or request.payload is not None
    if wanted["form"] is not None and judged:
        # Who only says yes has filled in nothing.
        given = {} if request.payload is None else request.payload
        problems = check_input(wanted["form"], given)
        if problems:
            sentences = "; ".join(f"{p.pointer or '/'}: {p.message}" for p in problems)
            raise RefusedError(f"the payload does not fit the form of {unit.path}: {sentences}")
    return unit


def take_decision(state: RunState, request: DecisionRequest, now: datetime) -> JsonObject:
    """Adds a vote; returns what the person is told.

    Raises:
        RefusedError: As ``check_decision``.
    """
    unit = check_decision(state, request)
    wanted: JsonObject = unit.waiting_for or {}
    vote = {
        "decision": request.decision,
        "approver": request.approver,
        "comment": request.comment,
        "payload": request.payload,
        "decidedAt": timestamp(now),
    }
    unit.votes.append(vote)
    approvals = sum(1 for one in unit.votes if one["decision"] == "approved")
    if request.decision == "rejected":
        unit.verdict = "rejected"
    elif approvals >= wanted["approvalsRequired"]:
        unit.verdict = "approved"
    if unit.verdict is not None:
        state.deciding_votes.append({"path": unit.path, **vote})
    return {
        "stepId": unit.path,
        "accepted": True,
        "verdict": unit.verdict,
        "approvals": approvals,
        "approvalsRequired": wanted["approvalsRequired"],
    }
