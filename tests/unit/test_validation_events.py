"""Triggers: patterns of events, and transforms that can be parsed."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import document_of
from definitions.validation.api import validate


def found(trigger: dict[str, Any]) -> list[tuple[str, str]]:
    problems = validate(document_of({"triggers": [trigger]})).problems
    return [(problem.pointer, problem.code) for problem in problems]


@pytest.mark.parametrize(
    ("pattern", "good"),
    [
        ("order", True),
        ("order.paid", True),
        ("order.*", True),
        ("*.paid", True),
        ("*", True),
        ("order.**", True),
        ("order.*.**", True),
        ("com.example.order_paid-2", True),
        ("a.b.c.d.e.f.g.*", True),
        ("a.b.c.d.e.f.g.h.*", False),
        ("order.**.paid", False),
        ("**.paid", False),
        ("order.", False),
        (".order", False),
        ("order..paid", False),
        ("order.pa*", False),
        ("order.***", False),
        ("order paid", False),
        ("order/paid", False),
        ("a\n", False),
    ],
)
def test_event_patterns(pattern: str, good: bool) -> None:
    """Segments, ``*`` for one of them, ``**`` at the end for the rest."""
    expected = [] if good else [("/triggers/0/eventPattern", "invalid_event_pattern")]
    assert found({"eventPattern": pattern}) == expected


@pytest.mark.parametrize("pattern", ["**", "*.*", "workflow.*", "workflow.failed", "order.told"])
def test_a_definition_that_its_own_runs_start(pattern: str) -> None:
    """Refused without a condition: what a run publishes by itself, or a step of it."""
    step = {"stepId": "tell", "taskId": "core.publish", "input": {"type": "order.told"}}
    for condition, code in ((None, "self_trigger"), ("event.workflow_id != 'x'", None)):
        trigger = {"eventPattern": pattern, "condition": condition}
        problems = validate(document_of({"steps": [step], "triggers": [trigger]})).problems
        assert [problem.code for problem in problems] == ([code] if code else [])


def test_what_only_a_run_knows_is_not_refused() -> None:
    """A type that an expression gives; there the depth is bounded."""
    step = {"stepId": "tell", "taskId": "core.publish", "input": {"type": "order.${input.what}"}}
    document = document_of({"steps": [step], "triggers": [{"eventPattern": "order.*"}]})
    assert validate(document).problems == []


@pytest.mark.parametrize(
    ("kind", "expression", "good"),
    [
        ("jmespath", "data.order", True),
        ("jmespath", "{id: data.id, total: sum(data.items[*].price)}", True),
        ("jmespath", "data.items[?price > `10`] | [0]", True),
        ("jmespath", "data.", False),
        ("jmespath", "data[", False),
        ("jmespath", "shout(data)", False),
        ("jmespath", "data.items[?shout(@)]", False),
        ("jmespath", "data.'a", False),
        ("jmespath", "`{`", True),
        ("jmespath", "[" * 1_400, False),
        ("jmespath", "`" + "[" * 1_400 + "`", False),
        ("jmespath", "a" * 1_501, False),
        ("jsonata", '{"id": data.id, "total": $sum(data.items.price)}', True),
        ("jsonata", "data.items[price > 10]", True),
        ("jsonata", "function($x){ $x * 2 }(data.n)", True),
        ("jsonata", "data.", False),
        ("jsonata", "data[", False),
        ("jsonata", "'open", False),
        ("jsonata", "(" * 1_400, False),
        ("jsonata", "-" * 1_400 + "1", False),
        ("jsonata", "a" * 1_501, False),
    ],
)
def test_transforms(kind: str, expression: str, good: bool) -> None:
    """They parse within the bounds; what they do is not tried."""
    expected = [] if good else [("/triggers/0/transform/expression", "invalid_transform")]
    transform = {"type": kind, "expression": expression}
    assert found({"eventPattern": "a", "transform": transform}) == expected
