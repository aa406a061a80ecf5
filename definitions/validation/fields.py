"""What expressions read: fields that nothing provides, steps and errors that cannot be yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.expressions import Reference
from definitions.terms import reads
from definitions.validation.outline import object_of
from definitions.validation.parsed import expressions_at
from definitions.validation.places import places_of
from definitions.validation.shapes import may_leave_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.terms import Path, Read
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.graph import Flow
    from definitions.validation.outline import RawStep
    from definitions.validation.places import Place
    from definitions.validation.shapes import Scope


def _reads_at(place: Place) -> Iterator[tuple[Parts, Read, bool]]:
    """Each path that is read, and whether the same expression asks if it is there."""
    for where, expression in expressions_at(place):
        found = list(dict.fromkeys(reads(expression.term)))
        asked = {read.path for read in found if read.asked}
        for read in found:
            lengths = range(1, len(read.path) + 1)
            yield where, read, any(read.path[:length] in asked for length in lengths)


def check_fields(flow: Flow, scope: Scope, findings: Findings) -> None:
    """Every field that is read can be there, as far as the schemas tell."""
    for place in places_of(flow.outline):
        for where, read, asked in _reads_at(place):
            found = scope.find(read.path, place)
            if found.state == "there" or (asked and not read.asked):
                continue
            missing = read.path[: found.length + 1]
            name, above = str(Reference(missing)), str(Reference(missing[:-1]))
            hint = findings.meant(missing[-1], found.known)
            if found.state == "undeclared":
                if not read.asked:
                    message = f"{name:.200} is not among the declared fields of {above:.200}{hint}"
                    findings.add(where, "undeclared_field", message)
            elif found.shape.sure and read.certain and not read.asked:
                message = f"{name:.200} can never be there, so this always fails{hint}"
                findings.add(where, "impossible_field", message)
            else:
                message = f"{name:.200} is never there{hint}"
                findings.add(where, "undeclared_field", message)


def check_order(flow: Flow, findings: Findings) -> None:
    """``steps.<id>`` is of a step that can have ended before, and can be seen from there."""
    for place in places_of(flow.outline):
        step = place.step
        if step is None or place.role == "compensation" or not flow.reachable(step):
            continue
        for where, read, asked in _reads_at(place):
            other = _step_read(read.path, flow)
            if other is None or asked or _seen(other, step, place, flow):
                continue
            findings.add(
                where,
                "step_not_run_before",
                f"the step {other.step_id!r:.140} cannot have ended, or cannot be seen, when this "
                "is evaluated",
            )


def _step_read(path: Path, flow: Flow) -> RawStep | None:
    return flow.outline.ids.get(path[1]) if path[0] == "steps" and len(path) > 1 else None


def _seen(other: RawStep, step: RawStep, place: Place, flow: Flow) -> bool:
    if other is step:
        return place.role == "next" or flow.runs_before(other, step)
    if place.role in {"output", "next"}:
        around = other.siblings.owner
        while around is not None:
            if around is step:
                return True
            around = around.siblings.owner
    return flow.runs_before(other, step)


def check_errors(flow: Flow, findings: Findings) -> None:
    """``error`` is read only where a failure can have been handled before."""
    leaving = {id(step) for step in flow.outline.steps if may_leave_error(step)}
    masks = {
        steps.where: sum(1 << step.position for step in steps.steps if id(step) in leaving)
        for steps in flow.outline.lists
    }
    for place in places_of(flow.outline):
        if place.role in {"compensation", "ui", "trigger"} or _error_possible(place, flow, masks):
            continue
        for where, read, _ in _reads_at(place):
            if read.path[0] == "error":
                findings.add(
                    where,
                    "error_without_failure",
                    "no failure can have been handled before this, so there is no error to read",
                )


def _error_possible(place: Place, flow: Flow, masks: dict[Parts, int]) -> bool:
    step = place.step
    if flow.handles or step is None:
        return flow.handles or any(masks.values())
    own = 1 << step.position if place.role != "input" else 0
    at: RawStep | None = step
    while at is not None:
        before = flow.of(at.siblings).before(at.position) | own
        if before & masks[at.siblings.where]:
            return True
        # Branches side by side share the run's error.
        at = at.siblings.owner
        own = 1 << at.position if at is not None else 0
    return False


def check_continuing(flow: Flow, findings: Findings) -> None:
    """Where ``continue`` goes through the step's own ``next``, ``output`` is empty there."""
    for place in places_of(flow.outline):
        if place.role != "next" or place.step is None:
            continue
        on_failure = object_of(place.step.value, "onFailure")
        if on_failure.get("action") != "continue" or on_failure.get("nextStepId") is not None:
            continue
        for where, read, asked in _reads_at(place):
            if read.path[0] == "output" and len(read.path) > 1 and not asked:
                findings.add(
                    where,
                    "continue_without_output",
                    f"after a failure {Reference(read.path)!s:.200} is not there, because "
                    "continue comes here with an empty output",
                )
