"""Expressions at registration: they parse, and name only what is there where they stand."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import document_of
from definitions.validation.api import validate

#: Of the rules about what expressions read, which have tests of their own.
OTHERS = {"error_without_failure", "undeclared_field", "impossible_field", "step_not_run_before"}


def found(document: Any) -> list[tuple[str, str]]:
    problems = validate(document).problems
    return [(problem.pointer, problem.code) for problem in problems if problem.code not in OTHERS]


def step(**members: Any) -> dict[str, Any]:
    return {"stepId": "first", "taskId": "core.noop", **members}


def place(name: str, expression: str) -> tuple[dict[str, Any], str]:
    """A document with an expression at a place, and the pointer to it."""
    whole = "${" + expression + "}"
    inner = {"stepId": "inner", "taskId": "core.noop", "input": whole}
    each = {"items": "${data.items}"}
    branches = [{"branchId": "b", "steps": [inner]}]
    places: dict[str, tuple[dict[str, Any], str]] = {
        "input": ({"steps": [step(input=whole)]}, "/steps/0/input"),
        "output": ({"steps": [step(output={"a": [whole]})]}, "/steps/0/output/a/0"),
        "next": (
            {
                "steps": [
                    step(
                        next=[
                            {"nextStepId": "first", "condition": expression},
                            {"nextStepId": "last"},
                        ]
                    ),
                    {"stepId": "last", "taskId": "core.noop"},
                ]
            },
            "/steps/0/next/0/condition",
        ),
        "items": ({"steps": [step(forEach={"items": whole})]}, "/steps/0/forEach/items"),
        "each input": ({"steps": [step(forEach=each, input=whole)]}, "/steps/0/input"),
        "each output": ({"steps": [step(forEach=each, output=whole)]}, "/steps/0/output"),
        "each branch": (
            {"steps": [step(forEach=each, parallelBranches=branches)]},
            "/steps/0/parallelBranches/0/steps/0/input",
        ),
        "branch": (
            {"steps": [step(parallelBranches=branches)]},
            "/steps/0/parallelBranches/0/steps/0/input",
        ),
        "compensation": (
            {"steps": [step(compensation={"taskId": "core.noop", "input": whole})]},
            "/steps/0/compensation/input",
        ),
        "document output": ({"output": {"x": whole}}, "/output/x"),
        "ui": (
            {"uiComponents": [{"componentId": "a", "condition": expression}]},
            "/uiComponents/0/condition",
        ),
        "trigger": (
            {"triggers": [{"eventPattern": "a", "condition": expression}]},
            "/triggers/0/condition",
        ),
    }
    members, where = places[name]
    return document_of(members), where


STEP = {"input", "data", "variables", "steps", "workflow", "status", "error"}
SCOPES: dict[str, set[str]] = {
    "input": STEP,
    "output": STEP | {"output"},
    "next": STEP | {"output"},
    "items": STEP,
    "each input": STEP | {"item", "index"},
    "each output": STEP | {"output"},
    "each branch": STEP | {"item", "index"},
    "branch": STEP,
    "compensation": STEP | {"output"},
    "document output": STEP,
    "ui": STEP | {"user", "progress", "currentStep"},
    "trigger": {"event"},
}
NAMES = sorted(set().union(*SCOPES.values()) | {"nothing"})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", SCOPES)
def test_scopes(where: str, name: str) -> None:
    """Each name exists exactly where the contract says so."""
    document, pointer = place(where, f"{name}.first")
    expected = [] if name in SCOPES[where] else [(pointer, "name_not_in_scope")]
    assert found(document) == expected


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("data.amount >", "invalid_expression"),
        ("data..amount", "invalid_expression"),
        ("data.a" * 1000, "invalid_expression"),
        ("(" * 40 + "1" + ")" * 40, "invalid_expression"),
        ("1 + 'a' == 2", "invalid_expression"),
        ("data.a.map(b, data.b.map(c, data.c.map(d, data.d.map(e, data.e.map(f, f)))))",
         "invalid_expression"),
        ("data.amount", None),
        ("amount > 1000", "name_not_in_scope"),
        ("shout(data.a)", "name_not_in_scope"),
        ("user.id == item.id", "name_not_in_scope"),
        ("steps.second.output.x == 1", "unknown_step_reference"),
        ("steps['second'].output.x == 1", "unknown_step_reference"),
        ("has(steps.second)", "unknown_step_reference"),
        ("data.steps.second == 1", None),
        ("steps[data.id].output.x", None),
        ("size(steps) == 1", None),
        ("data.a ? true : false", None),
        ("data.amount > 1000 && !(data.vip in ['a', 'b'])", None),
        ("has(error.type)", None),
        ("size(data.items)", "condition_not_boolean"),
        ("'yes'", "condition_not_boolean"),
        ("{'a': 1}", "condition_not_boolean"),
        ("null", "condition_not_boolean"),
        ("timestamp('2030-01-01T00:00:00Z')", "condition_not_boolean"),
        ("${data.a}", "invalid_expression"),
        ("'${data.a}'", "condition_not_boolean"),
        ("   ", "invalid_expression"),
    ],
)  # fmt: skip
def test_conditions(expression: str, code: str | None) -> None:
    """A condition parses, names what exists, and can give a boolean."""
    document, where = place("next", expression)
    codes = {(where, code)} if code else set()
    assert set(found(document)) == codes


def test_each_name_that_exists_elsewhere_is_reported() -> None:
    """Two names out of scope are two problems, and an unknown step beside them is a third."""
    document, where = place("input", "user.id == item.id && steps.nope.x")
    assert found(document) == [
        (where, "name_not_in_scope"),
        (where, "name_not_in_scope"),
        (where, "unknown_step_reference"),
    ]


HYPHENS = ["charge-card", "a", "a-data", "1st"]


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("steps.charge-card.output.id", "steps['charge-card']"),
        ("data.x + steps.charge-card.output.id", "steps['charge-card']"),
        ("steps.charge-cart.output.id", "steps['charge-cart']"),
        ("steps . charge-card", "steps['charge-card']"),
        ("steps.a-data", "steps['a-data']"),
        ("steps.1st.output", "steps['1st']"),
    ],
)
def test_a_step_that_cannot_follow_a_dot(expression: str, hint: str) -> None:
    """``steps.charge-card`` reads as a subtraction: the sentence says what to write."""
    steps = [{"stepId": name, "taskId": "core.noop"} for name in HYPHENS]
    steps.append(step(input={"x": f"a ${{{expression}}} b"}))
    (problem,) = validate(document_of({"steps": steps})).problems
    assert (problem.pointer, problem.code) == ("/steps/4/input/x", "hyphenated_step_reference")
    assert problem.message.endswith(f"write {hint}")


@pytest.mark.parametrize(
    "expression",
    [
        "steps['charge-card'].output.id",
        'steps["charge-card"].output.id',
        "steps.a.output.n-1",
        "'steps.charge-card'",
        "data.steps.charge - data.x",
    ],
)
def test_a_hyphen_that_is_none_of_a_step(expression: str) -> None:
    """Subtractions, texts and other objects' ``steps`` are left alone."""
    steps = [{"stepId": name, "taskId": "core.noop"} for name in HYPHENS]
    steps.append(step(input=f"${{{expression}}}"))
    assert found(document_of({"steps": steps})) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${data.amount", [("", "invalid_template")]),
        ("${'}'", [("", "invalid_template")]),
        ("${}", [("", "invalid_expression")]),
        ({"a": ["${x}", {"b": "${y} ${z}"}]},
         [("/a/0", "name_not_in_scope"), ("/a/1/b", "name_not_in_scope"),
          ("/a/1/b", "name_not_in_scope")]),
        ({"a/b": "${x}"}, [("/a~1b", "name_not_in_scope")]),
        ("$${x}", []),
        ("${'}'}${data.a['}']}", []),
        ("${{'a': {'b': data.x}}}", []),
        ({"${x}": 1}, []),
        ("$ {x}", []),
    ],
)  # fmt: skip
def test_mappings(value: Any, expected: list[tuple[str, str]]) -> None:
    """Every expression of a mapping is checked, each at its own place."""
    assert found(document_of({"output": value})) == [
        (f"/output{at}", code) for at, code in expected
    ]


@pytest.mark.parametrize(
    ("items", "good"),
    [
        ("${data.items}", True),
        (" ${data.items}", False),
        ("${[1, 2]}", True),
        ("${data.items.filter(i, i.ok)}", True),
        ([], True),
        ([1, "${data.x}"], True),
        ("${size(data.items)}", False),
        ("${data.a}${data.b}", False),
        ("orders", False),
        ({"a": 1}, False),
        ({"a": "${data.x}"}, False),
        (5, False),
        (None, False),
    ],
)
def test_items_can_be_a_list(items: Any, good: bool) -> None:
    """``forEach.items`` is refused where it can never be a list."""
    expected = [] if good else [("/steps/0/forEach/items", "items_not_a_list")]
    assert found(document_of({"steps": [step(forEach={"items": items})]})) == expected


def test_a_syntax_error_is_one_plain_sentence() -> None:
    """The parser's grammar does not show through."""
    document, _ = place("next", "data.amount >")
    assert validate(document).problems[0].message == (
        "the expression does not parse: the end is not expected (at character 14)"
    )
    document, _ = place("next", "${data.amount > 1}")
    assert (
        validate(document).problems[0].message.endswith("a condition is an expression without ${ }")
    )
    document, _ = place("next", "1 + 'a' == 2")
    assert validate(document).problems[0].message == (
        "+ cannot be applied to int, string (at character 3)"
    )
