"""A case that begins with an event instead of an input."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.errors import InvalidDocumentError
from definitions.problem_examples import document_of
from worker.rehearsal.case import parse_case

PAID = {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.paid", "data": {"n": 1}}


def input_of(event: dict[str, Any], *triggers: dict[str, Any], **members: Any) -> Any:
    document = document_of({"triggers": list(triggers)})
    return parse_case({"name": "c", "definition": document, "event": event, **members}).input


def jsonata(expression: str) -> dict[str, str]:
    return {"type": "jsonata", "expression": expression}


def test_the_trigger_makes_the_input() -> None:
    """The first that matches and holds; without a transform, the data."""
    first = {"eventPattern": "order.*", "condition": "event.data.n > 1"}
    second = {"eventPattern": "order.**", "transform": jsonata('{"m": data.n + 1}')}
    assert input_of(PAID, first, second) == {"m": 2}
    assert input_of({**PAID, "data": {"n": 2}}, first, second) == {"n": 2}
    assert input_of({**PAID, "data": None}, {"eventPattern": "order.paid"}) == {}


@pytest.mark.parametrize(
    ("trigger", "members", "reason"),
    [
        ({"eventPattern": "order.sent"}, {}, "no trigger is for its type"),
        ({"eventPattern": "order.paid", "condition": "false"}, {}, "no condition"),
        ({"eventPattern": "order.paid", "condition": "event.data.m > 1"}, {}, "condition fails"),
        ({"eventPattern": "order.paid", "transform": jsonata("data.n")}, {}, "no object"),
        ({"eventPattern": "order.paid", "transform": jsonata("$error('no')")}, {}, "no"),
        (
            {"eventPattern": "order.paid", "transform": jsonata('$pad("x", 1e9)')},
            {},
            "the transform takes too much|the transform takes more",
        ),
        ({"eventPattern": "order.paid"}, {"input": {}}, "an input or an event, not both"),
        ({"eventPattern": "order.paid"}, {"event": {**PAID, "id": ""}}, "id: a text is required"),
    ],
)
def test_an_event_that_starts_nothing_is_an_error_of_the_case(
    trigger: dict[str, Any], members: dict[str, Any], reason: str
) -> None:
    """With the reason, at the event."""
    given = {"event": PAID, **members}
    with pytest.raises(InvalidDocumentError, match=reason) as caught:
        input_of(given.pop("event"), trigger, **given)
    [problem] = caught.value.problems
    assert (problem.pointer, problem.code) == ("/event", "case_event")
