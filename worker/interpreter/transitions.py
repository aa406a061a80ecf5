"""Where a run goes from a step: its ``next``, and its ``onFailure`` when it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.expressions import EvaluationError
from definitions.records import Decision, Evaluated
from worker.interpreter.host import StepError, step_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.document import OnFailure
    from definitions.expressions import Expression
    from definitions.jsontypes import Json
    from definitions.records import ErrorInfo
    from worker.interpreter.plan import PlannedStep


class TransitionError(Exception):
    """``next`` itself failed; ``evaluated`` is what was asked until then."""

    def __init__(self, error: StepError, evaluated: list[Evaluated]) -> None:
        super().__init__(str(error))
        self.error = error
        self.evaluated = evaluated


def fixed_decision(step: PlannedStep) -> Decision | None:
    """The decision after a step that does not depend on any data, or None."""
    if step.next is None:
        if step.following is None:
            return Decision(kind="end")
        return Decision(kind="sequence", target=step.following)
    if not step.next:
        return Decision(kind="end")
    if step.next[0].condition is None:
        return Decision(kind="condition", target=step.next[0].target)
    return None


def decide_next(step: PlannedStep, names: Mapping[str, Json]) -> Decision:
    """The decision after a step that ended well.

    Raises:
        TransitionError: A condition failed, or none of them is true.
    """
    fixed = fixed_decision(step)
    if fixed is not None:
        return fixed
    evaluated: list[Evaluated] = []
    for entry in step.next or ():
        if entry.condition is None or _holds(entry.condition, names, evaluated):
            return Decision(kind="condition", target=entry.target, evaluated=evaluated)
    error = step_error("NoTransitionMatched", "none of the conditions in next is true")
    raise TransitionError(error, evaluated)


def _holds(condition: Expression, names: Mapping[str, Json], evaluated: list[Evaluated]) -> bool:
    values = condition.values_read(names)
    try:
        result = condition.test(names)
    except EvaluationError as error:
        evaluated.append(Evaluated(expression=condition.text, values=values, error=error.reason))
        raise TransitionError(step_error("ExpressionError", str(error)), evaluated) from None
    evaluated.append(Evaluated(expression=condition.text, values=values, result=result))
    return result


def decide_failure(on_failure: OnFailure | None, error: ErrorInfo) -> Decision:
    """What ``onFailure`` says of an error.

    The kinds: ``handler`` and ``continue`` have a target, save a ``continue`` that goes through the
    step's own ``next``; ``raise`` hands the failure up.
    """
    if on_failure is None:
        return Decision(kind="raise")
    conditions = on_failure.error_handler.conditions if on_failure.error_handler else []
    for condition in conditions:
        type_fits = condition.error_type is None or condition.error_type == error.type
        code_fits = condition.error_code is None or condition.error_code == error.code
        if type_fits and code_fits:
            asked = Evaluated(
                expression=_handler_text(condition.error_type, condition.error_code),
                values={"error.type": error.type, "error.code": error.code},
                result=True,
            )
            return Decision(kind="handler", target=condition.next_step_id, evaluated=[asked])
    if on_failure.action == "continue":
        return Decision(kind="continue", target=on_failure.next_step_id)
    return Decision(kind="raise")


def _handler_text(error_type: str | None, error_code: str | None) -> str:
    parts = []
    if error_type is not None:
        parts.append(f"error.type == {error_type!r}")
    if error_code is not None:
        parts.append(f"error.code == {error_code!r}")
    return " && ".join(parts) or "true"
