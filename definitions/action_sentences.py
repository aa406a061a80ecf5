"""What was done to a run from outside, and where it came from, each in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.texts import moment, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from definitions.records import RunOrigin
    from definitions.views import ActionView, InstanceView, StepView

_NAME = 300
_DONE = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}


def what_was_done(action: ActionView) -> str:
    """Without who and why: ``skipped archive``, ``took the event payment.settled``."""
    match action.action:
        case "skip":
            return f"skipped {action.path}"
        case "rerun":
            earlier = one_line(str(action.data.get("executionId")), _NAME)
            return f"run again from step {action.path} of {earlier}"
        case "event":
            return _event(action)
        case other:
            return _DONE.get(other, other)


def _event(action: ActionView) -> str:
    name = one_line(str(action.data.get("name")), _NAME)
    known = action.data.get("id")
    identity = f" (id {one_line(str(known), _NAME)})" if known is not None else ""
    match action.data.get("reception"):
        case "taken":
            return f"the event {name}{identity} came, and a step took it"
        case "kept":
            return f"the event {name}{identity} came, and is kept until a step waits for it"
        case _:
            return f"the event {name}{identity} came, and was refused"


def by_whom(action: ActionView) -> str:
    """``by manager at 2026-01-01 12:00:00 UTC, saying “the bank is down”``."""
    who = f"by {one_line(action.actor, _NAME)} " if action.actor else ""
    why = f", saying “{one_line(action.reason, _NAME)}”" if action.reason else ""
    return f"{who}at {moment(action.occurred_at)}{why}"


def action_sentence(action: ActionView) -> str:
    """All of it: what, by whom, when and why."""
    return f"{what_was_done(action)} {by_whom(action)}"


def origin_sentence(origin: RunOrigin) -> str:
    """Where a run came from."""
    name = one_line(origin.execution_id, _NAME)
    if origin.kind == "rerun":
        return f"a rerun of {name} from step {origin.path}"
    again = f", iteration {origin.iteration}" if origin.iteration > 1 else ""
    return f"started by step {origin.path}{again} of {name}"


def latest(actions: Iterable[ActionView], kind: str) -> ActionView | None:
    """The last action of a kind."""
    return next((one for one in reversed(list(actions)) if one.action == kind), None)


def skip_of(step: StepView, actions: Sequence[ActionView]) -> ActionView | None:
    """Who skipped a step, where it was skipped."""
    if str(step.status) != "skipped":
        return None
    here = [one for one in actions if (one.path, one.iteration) == (step.path, step.iteration)]
    return latest(here, "skip")


def children_of(step: StepView, related: Iterable[InstanceView]) -> list[InstanceView]:
    """The runs that a step started, one after the other where it was tried again."""
    return [
        run
        for run in related
        if run.origin is not None
        and run.origin.kind == "child"
        and (run.origin.path, run.origin.iteration) == (step.path, step.iteration)
    ]


def reruns_in(related: Iterable[InstanceView]) -> list[InstanceView]:
    """The runs that go on from the run that these came from."""
    return [run for run in related if run.origin is not None and run.origin.kind == "rerun"]
