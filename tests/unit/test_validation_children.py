"""``core.workflow``: what is known of the definitions that a definition runs."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import BASE
from definitions.validation.api import validate
from definitions.validation.children import registered_among

Object = dict[str, Any]


def runs(name: str, *children: Any, version: str = "1.0.0", **members: Any) -> Object:
    """A definition whose steps run these ones: ids, or whole inputs."""
    steps = [
        {
            "stepId": f"s{number}",
            "taskId": "core.workflow",
            "input": {"workflowId": child} if isinstance(child, str) else child,
        }
        for number, child in enumerate(children)
    ]
    own = {"workflowId": name, "version": version, "steps": steps or BASE["steps"]}
    return {**BASE, **own, **members}


def found(document: Object, *others: Object) -> list[tuple[str, str]]:
    registered = registered_among([document, *others])
    problems = validate(document, registered=registered).problems
    return [(problem.pointer, problem.code) for problem in problems]


AT = "/steps/0/input/workflowId"


@pytest.mark.parametrize("given", [{}, {"version": None}, {"version": "1.0.0"}])
def test_a_definition_does_not_run_itself(given: Object) -> None:
    """It is seen without knowing anything else, in a compensation too."""
    call = {"workflowId": "order", **given}
    (problem,) = validate(runs("order", call)).problems
    assert (problem.pointer, problem.code, problem.severity) == (AT, "workflow_cycle", "error")
    step = {
        "stepId": "a",
        "taskId": "core.noop",
        "compensation": {"taskId": "core.workflow", "input": call},
    }
    assert [one.pointer for one in validate(runs("order", steps=[step])).problems] == [
        "/steps/0/compensation/input/workflowId"
    ]


@pytest.mark.parametrize(
    "call",
    [
        {"workflowId": "order", "version": "0.9.0"},
        {"workflowId": "order", "version": "${data.version}"},
        {"workflowId": "${data.id}"},
    ],
)
def test_what_need_not_be_a_cycle(call: Object) -> None:
    """Another version is another definition, and an expression may give anything."""
    assert validate(runs("order", call)).problems == []


def test_a_cycle_through_others_is_named_whole() -> None:
    """Each definition by itself is fine."""
    others = [runs("billing", "dunning"), runs("dunning", "mail", "order"), runs("mail")]
    order = runs("order", "billing")
    report = validate(order, registered=registered_among([order, *others]))
    (problem,) = report.problems
    assert (problem.pointer, problem.code) == (AT, "workflow_cycle")
    assert problem.message.startswith("order runs billing runs dunning runs order: ")
    assert not report.ok
    assert found(runs("mail"), order, *others) == []
    # The cycle is theirs, and this one only leads into it.
    assert found(runs("outside", "order"), order, *others) == []


def test_a_cycle_is_one_of_versions() -> None:
    """Without a version the highest counts, as when the step runs."""
    old = runs("billing", "order")
    assert found(runs("order", "billing"), old) == [(AT, "workflow_cycle")]
    new = runs("billing", version="1.1.0")
    assert found(runs("order", "billing"), old, new) == []
    pinned = {"workflowId": "billing", "version": "1.0.0"}
    assert found(runs("order", pinned), old, new) == [(AT, "workflow_cycle")]
    higher = runs("order", version="2.0.0")
    assert found(runs("order", "billing"), old, higher) == []


def test_a_definition_that_is_not_there() -> None:
    """A warning: it may be registered before the step runs."""
    document = runs("order", "biling", {"workflowId": "billing", "version": "2.0.0"})
    report = validate(document, registered=registered_among([document, runs("billing")]))
    assert [(one.pointer, one.code, one.severity) for one in report.problems] == [
        (AT, "unregistered_workflow", "warning"),
        ("/steps/1/input/workflowId", "unregistered_workflow", "warning"),
    ]
    assert "biling is not registered" in report.problems[0].message
    assert "billing in version 2.0.0" in report.problems[1].message
    assert report.ok
    assert validate(document).problems == [], "nothing is known, nothing is said"


SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number"}},
    "required": ["amount"],
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"input": {"amount": 5}}, []),
        ({"input": {"amount": "${data.amount}"}}, []),
        ({"input": "${data}"}, []),
        ({"input": {"amount": "five"}}, ["/steps/0/input/input/amount"]),
        ({"input": {"amuont": "${data.amount}"}}, ["/steps/0/input/input"]),
        ({}, ["/steps/0/input"]),
        ({"input": None}, ["/steps/0/input"]),
    ],
)
def test_a_literal_input_is_held_against_the_childs_schema(
    given: Object, expected: list[str]
) -> None:
    """A warning with its place; what an expression gives is not known here."""
    child = runs("billing", inputSchema=SCHEMA)
    document = runs("order", {"workflowId": "billing", **given})
    problems = validate(document, registered=registered_among([document, child])).problems
    assert [one.pointer for one in problems] == expected
    assert {(one.code, one.severity) for one in problems} <= {
        ("child_input_does_not_fit", "warning")
    }


def test_a_child_that_is_stored_and_broken_breaks_nothing() -> None:
    """Documents of the store were accepted by other rules."""
    broken = {"workflowId": "billing", "version": "1.0.0", "steps": "none", "inputSchema": {"a": 1}}
    odd = {**broken, "version": "1.1.0", "inputSchema": {"type": "objekt"}}
    for child in (broken, odd):
        assert found(runs("order", "billing"), child) == []
