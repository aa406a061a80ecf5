"""A case that begins with an event: the input is what the definition's trigger makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.transforms.pool import TransformError, apply_once
from definitions.document import Definition
from definitions.expressions import EvaluationError
from definitions.inbound import EventRefusedError, first_that_holds, parse_event
from definitions.triggers import matches

if TYPE_CHECKING:
    from worker.rehearsal.case import Case


class UntriggeredError(Exception):
    """The event does not start the definition. One sentence."""


def input_of_event(case: Case) -> dict[str, Any]:
    """The input of the run that the case's event starts.

    Raises:
        UntriggeredError: It starts none, or ``input`` is given beside it.
    """
    if case.gave("input"):
        raise UntriggeredError("a case has an input or an event, not both")
    definition = Definition.model_validate(case.definition)
    try:
        event = parse_event(case.event)
        scope = event.scope()
        found = [one for one in definition.triggers if matches(one.event_pattern, event.type)]
        trigger = first_that_holds(found, scope)
        if trigger is None:
            why = "no condition of its triggers holds" if found else "no trigger is for its type"
            raise UntriggeredError(f"the event does not start the definition: {why}")
        made: Any = event.data if event.data is not None else {}
        if trigger.transform is not None:
            made = apply_once(trigger.transform, scope)
    except (EventRefusedError, TransformError) as error:
        raise UntriggeredError(error.message) from None
    except EvaluationError as error:
        raise UntriggeredError(f"the condition fails: {error}") from None
    if not isinstance(made, dict):
        raise UntriggeredError("what becomes of the event is no object, as an input has to be")
    return made
