"""Values on their way through a step: mappings evaluated, sizes kept, failures named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.expressions import EvaluationError
from definitions.outputs import MAX_VALUE_BYTES, json_size
from definitions.references import first_reference, told
from definitions.statuses import StepStatus
from worker.interpreter.host import step_error

if TYPE_CHECKING:
    from definitions.jsontypes import Json
    from definitions.records import ErrorInfo
    from definitions.requirements import FieldRules
    from definitions.templates import CompiledMapping
    from worker.interpreter.plan import PlannedStep


def evaluate(mapping: CompiledMapping, names: dict[str, Json], what: str) -> Json:
    """A mapping's value; what goes wrong in it is the step's error."""
    try:
        value = mapping.evaluate(names)
    except EvaluationError as error:
        raise step_error("ExpressionError", f"{what}: {error}") from None
    check_size(value, what)
    return value


def check_size(value: Json, what: str) -> int:
    """The size of a value in bytes.

    Raises:
        StepError: ``PayloadTooLarge``; Temporal would refuse it later, at a price.
    """
    size = json_size(value)
    if size > MAX_VALUE_BYTES:
        raise step_error(
            "PayloadTooLarge", f"{what} has {size} bytes, at most {MAX_VALUE_BYTES} are allowed"
        )
    return size


def refuse_references(value: Json, what: str) -> None:
    """Refuses a value that goes where a reference says nothing. ``what`` names the value."""
    found = first_reference(value)
    if found is not None:
        place, reference = found
        where = f", at {place}," if place else ""
        raise step_error(
            "PayloadTooLarge", f"{what}{where} is too big to be used here: {told(reference)}"
        )


def required(rules: FieldRules | None, value: Json, what: str) -> Json:
    """A value with an operator's defaults; what breaks the operator's rules is the step's error.

    ``rules``: None where nobody has said anything.
    """
    if rules is None:
        return value
    value, problems = rules.apply(value)
    if problems:
        sentences = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in problems)
        details: Json = [{"pointer": one.pointer, "message": one.message} for one in problems]
        raise step_error("ValidationError", f"{what} does not fit: {sentences}", details=details)
    check_size(value, what)
    return value


def failed_status(step: PlannedStep, error: ErrorInfo) -> StepStatus:
    """How a step ends that failed: a timeout of its own is told apart."""
    own = error.type == "TimeoutError" and error.step_id == step.step_id
    return StepStatus.TIMEOUT if own else StepStatus.FAILED
