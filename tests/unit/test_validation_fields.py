"""What expressions read: fields, types, steps that cannot have run, errors that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import document_of
from definitions.tasks import TaskSpec
from definitions.validation.api import validate

OPEN = {"properties": {"amount": {"type": "number"}, "who": {"properties": {"name": {}}}}}
CLOSED = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "role": {"enum": ["reader", "admin"]},
        "vip": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "tags": {"type": "array"},
        "who": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "additionalProperties": False,
        },
        "free": {"type": "object"},
        "never": False,
    },
    "additionalProperties": False,
}
RETURNS = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "total": {"type": "number"}},
    "additionalProperties": False,
}
CATALOGUE = {
    "charge": TaskSpec(task_id="charge", output_schema=RETURNS),
    "list": TaskSpec(task_id="list", output_schema={"type": "array"}),
    "unknown": TaskSpec(task_id="unknown"),
}


def found(document: dict[str, Any]) -> list[tuple[str, str]]:
    problems = validate(document_of(document), catalogue=CATALOGUE).problems
    return [(problem.pointer, problem.code) for problem in problems]


def noop(step_id: str, **members: Any) -> dict[str, Any]:
    return {"stepId": step_id, "taskId": "core.noop", **members}


def task(step_id: str, task_id: str, **members: Any) -> dict[str, Any]:
    return {"stepId": step_id, "taskId": task_id, **members}


def fork(step_id: str, *branches: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    return noop(
        step_id,
        parallelBranches=[
            {"branchId": f"b{number}", "steps": steps} for number, steps in enumerate(branches)
        ],
        **members,
    )


@pytest.mark.parametrize(
    ("schema", "expression", "code"),
    [
        (None, "input.amuont", None),
        ({}, "input.amuont", None),
        ({"type": "object", "properties": {}}, "input.amuont", None),
        (OPEN, "input.amount", None),
        (OPEN, "input.amuont", "undeclared_field"),
        (OPEN, "data.amuont", "undeclared_field"),
        (OPEN, "input.who.nmae", "undeclared_field"),
        (OPEN, "input.amount.value", "impossible_field"),
        (OPEN, "has(input.amuont)", None),
        (OPEN, "has(input.amuont) && input.amuont > 1", None),
        (OPEN, "'amuont' in input", None),
        ({**OPEN, "additionalProperties": True}, "input.amuont", None),
        ({**OPEN, "additionalProperties": {"type": "number"}}, "input.amuont", None),
        ({**OPEN, "patternProperties": {"^a": {}}}, "input.amuont", None),
        ({**OPEN, "anyOf": [{"properties": {"amuont": {}}}]}, "input.amuont", None),
        ({**OPEN, "$ref": "#/$defs/a", "$defs": {"a": {}}}, "input.amuont", None),
        (CLOSED, "input.amount", None),
        (CLOSED, "input.amuont", "impossible_field"),
        (CLOSED, "data.amuont", "impossible_field"),
        (CLOSED, "input['amuont']", "impossible_field"),
        (CLOSED, "input.who.nmae", "impossible_field"),
        (CLOSED, "input.never", "impossible_field"),
        (CLOSED, "input.free.anything", None),
        (CLOSED, "input.amuont + 1", "impossible_field"),
        (CLOSED, "input.vip || input.amuont", "undeclared_field"),
        (CLOSED, "input.vip ? input.amuont : 1", "undeclared_field"),
        (CLOSED, "input.tags.all(t, t == input.amuont)", "undeclared_field"),
        (CLOSED, "input.tags.all(input, input.amuont)", None),
        (CLOSED, "has(input.amuont)", "undeclared_field"),
        (CLOSED, "has(input.amuont) ? input.amuont : 1", "undeclared_field"),
        (CLOSED, "workflow.id", None),
        (CLOSED, "workflow.name", "undeclared_field"),
    ],
)
def test_fields_of_the_input(schema: Any, expression: str, code: str | None) -> None:
    """What a closed schema leaves out cannot be; what an open one leaves out is doubtful."""
    members = {} if schema is None else {"inputSchema": schema}
    value = "${" + expression + "}"
    expected = [("/steps/0/input", code)] if code else []
    assert found({**members, "steps": [noop("a", input=value)]}) == expected


@pytest.mark.parametrize(
    ("before", "expression", "code"),
    [
        (noop("a"), "data.id", "impossible_field"),
        (task("a", "unknown"), "data.id", None),
        (task("a", "charge"), "data.id", None),
        (task("a", "charge"), "data.total > 1", None),
        (task("a", "charge"), "data.amuont", "impossible_field"),
        (task("a", "list"), "data.id", "impossible_field"),
        (task("a", "unknown", output={"id": "${output.x}"}), "data.id", None),
        (task("a", "unknown", output={"id": 1}), "data.other", "impossible_field"),
        (task("a", "unknown", output="${output.x}"), "data.other", None),
        (task("a", "unknown", output="text ${output.x}"), "data.other", "impossible_field"),
        (task("a", "unknown", output={"amount": "x"}), "data.amount == 'x'", None),
        (noop("a"), "data.amount == 'x'", "doubtful_comparison"),
        (fork("a", [task("x", "unknown")]), "data.b0.id", None),
        (fork("a", [task("x", "unknown")]), "data.id", "impossible_field"),
        (noop("a", forEach={"items": "${data.tags}"}), "data.id", "impossible_field"),
        (task("a", "core.approval"), "data.decision", None),
        (noop("a"), "steps.a.output.id", "impossible_field"),
        (noop("a"), "steps.a.outptu", "undeclared_field"),
        (noop("a"), "steps.a.status", None),
        (task("a", "unknown"), "steps.a.output.id", None),
        (task("a", "charge"), "steps.a.output.id", None),
        (task("a", "charge"), "steps.a.output.di", "undeclared_field"),
        (task("a", "charge", output={"id": "${output.id}"}), "steps.a.output.di",
         "impossible_field"),
        (task("a", "charge", output={"id": 1}), "has(steps.a.output.di)", "undeclared_field"),
        (task("a", "list"), "steps.a.output.value", None),
        (task("a", "list"), "steps.a.output.id", "undeclared_field"),
        (noop("a", forEach={"items": []}), "steps.a.output.value", None),
        (fork("a", [noop("x")]), "steps.a.output.b0", None),
        (fork("a", [noop("x")]), "steps.a.output.b1", "impossible_field"),
        (fork("a", [noop("x")]), "steps.x.output.y", "impossible_field"),
        (task("a", "core.approval"), "steps.a.output.decison", "undeclared_field"),
        (task("a", "core.approval"), "steps.a.output.decision == 'yes'", "doubtful_comparison"),
        (task("a", "core.approval", input={}), "steps.a.output.decision == 'rejected'",
         "doubtful_comparison"),
        (task("a", "core.approval", input={"onRejected": "continue"}),
         "steps.a.output.decision == 'rejected'", None),
        (fork("a", [task("x", "core.approval")]), "steps.a.output.b0.decison", "undeclared_field"),
        (fork("a", [task("x", "unknown"), task("y", "charge", output={"id": 1})]),
         "steps.a.output.b0.di", "impossible_field"),
        (fork("a", [task("x", "charge", output={"id": 1}, next=[])]), "steps.a.output.b0.di", None),
        (task("a", "core.http", input={"url": "https://a"}), "steps.a.output.boddy",
         "undeclared_field"),
        (task("a", "core.set", input={"n": 1}), "variables.n", None),
        (task("a", "core.set", input={"n": 1}), "variables.m", "impossible_field"),
        (task("a", "core.set", input="${data.values}"), "variables.m", None),
        (task("a", "core.set"), "variables.m", None),
        (noop("a"), "variables.given", None),
        (noop("a"), "variables.givne", "impossible_field"),
        (noop("a", compensation={"taskId": "core.set", "input": {"undone": 1}}),
         "variables.undone", None),
    ],
)  # fmt: skip
def test_fields_that_steps_provide(
    before: dict[str, Any], expression: str, code: str | None
) -> None:
    """``data``, ``steps`` and ``variables`` have what steps put there, and no more."""
    value = "${" + expression + "}"
    schema = {**CLOSED, "properties": {**CLOSED["properties"], "values": {}}}  # type: ignore[dict-item]
    document = {
        "inputSchema": schema,
        "variables": {"given": 1},
        "steps": [before, noop("b", input=value)],
    }
    expected = [("/steps/1/input", code)] if code else []
    assert found(document) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (task("a", "charge", output={"x": "${output.id}"}), []),
        (task("a", "charge", output={"x": "${output.di}"}),
         [("/steps/0/output/x", "undeclared_field")]),
        (noop("a", output={"x": "${output.id}"}), [("/steps/0/output/x", "impossible_field")]),
        (noop("a", output={"x": 1}, next=[{"nextStepId": "b", "condition": "output.x == 1"},
                                          {"nextStepId": "b"}]), []),
        (noop("a", output={"x": 1}, next=[{"nextStepId": "b", "condition": "output.y == 1"},
                                          {"nextStepId": "b"}]),
         [("/steps/0/next/0/condition", "impossible_field")]),
        (noop("a", output={"x": 1}, compensation={"taskId": "unknown", "input": "${output.y}"}),
         [("/steps/0/compensation/input", "impossible_field")]),
        (noop("a", forEach={"items": []}, compensation={"taskId": "unknown",
                                                        "input": "${output.y}"}), []),
    ],
)  # fmt: skip
def test_fields_of_a_steps_own_output(step: Any, expected: list[tuple[str, str]]) -> None:
    """The raw output in ``output``, what was stored in ``next`` and the compensation."""
    assert found({"steps": [step, noop("b")]}) == expected


def test_an_unknown_field_gets_the_nearest_known_one() -> None:
    """The sentence names the path as far as it goes wrong, and what was meant."""
    document = document_of(
        {"inputSchema": CLOSED, "steps": [noop("a", input="${input.who.nmae.first}")]}
    )
    assert validate(document).problems[0].message == (
        "input.who.nmae can never be there, so this always fails; did you mean 'name'?"
    )


AT = "/steps/1/next/0/condition"


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("input.amount > 1000", None),
        ("input.amount == 1000.5", None),
        ("input.amount > '1000'", "type_mismatch"),
        ("'1000' <= input.amount", "type_mismatch"),
        ("input.vip > 1", "type_mismatch"),
        ("input.who < 'a'", "type_mismatch"),
        ("input.amount == '1000'", "doubtful_comparison"),
        ("input.amount != null", "doubtful_comparison"),
        ("input.note == null", None),
        ("input.note == 'x'", None),
        ("input.note == 1", "doubtful_comparison"),
        ("input.role == 'admin'", None),
        ("input.role == 'admn'", "doubtful_comparison"),
        ("input.role == 1", "doubtful_comparison"),
        ("input.role in ['admin', 'x']", None),
        ("input.role in ['x', 'y']", "doubtful_comparison"),
        ("input.amount in ['1', '2']", "doubtful_comparison"),
        ("input.amount in [data.x, '2']", "impossible_field"),
        ("input.amount == input.who.name", "doubtful_comparison"),
        ("input.amount > input.who.name", "type_mismatch"),
        ("input.tags == [1]", None),
        ("input.tags == 'a'", "doubtful_comparison"),
        ("input.free.x > 'a'", None),
        ("input.who.name.startsWith('a')", None),
        ("input.amount.startsWith('a')", "type_mismatch"),
        ("input.note.contains('a')", None),
        ("input.tags.exists(input, input.amount == 'x')", None),
        ("input.tags.exists(t, input.amount == 'x')", "doubtful_comparison"),
        ("input.vip", None),
        ("input.amount", "condition_not_boolean"),
        ("data.amount", "condition_not_boolean"),
        ("input.free.x", None),
        ("steps.a.output.total > '5'", "doubtful_comparison"),
        ("steps.a.output.total > 5", None),
        ("steps.a.output.id", None),
    ],
)
def test_types_that_cannot_match(condition: str, code: str | None) -> None:
    """What can only fail is an error; what always gives the same is a warning."""
    steps = [
        task("a", "charge"),
        noop("b", next=[{"nextStepId": "c", "condition": condition}, {"nextStepId": "c"}]),
        noop("c"),
    ]
    reported = [at for at in found({"inputSchema": CLOSED, "steps": steps}) if at[0] == AT]
    assert reported == ([(AT, code)] if code else [])


def test_items_that_are_no_list() -> None:
    """A ``forEach`` over a field that the schema says is something else."""
    each = {"items": "${input.amount}"}
    assert found({"inputSchema": CLOSED, "steps": [noop("a", forEach=each)]}) == [
        ("/steps/0/forEach/items", "items_not_a_list")
    ]
    each = {"items": "${input.tags}"}
    assert found({"inputSchema": CLOSED, "steps": [noop("a", forEach=each)]}) == []


def reading(step_id: str, of: str, **members: Any) -> dict[str, Any]:
    return noop(step_id, input="${steps." + of + ".status}", **members)


def again(*targets: str) -> dict[str, Any]:
    entries = [{"nextStepId": targets[0], "condition": "data.again"}]
    return {"next": entries + [{"nextStepId": target} for target in targets[1:]]}


B0, B1 = "/steps/0/parallelBranches/0/steps", "/steps/0/parallelBranches/1/steps"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([noop("a"), reading("b", "a")], []),
        ([reading("a", "b"), noop("b")], ["/steps/0/input"]),
        ([reading("a", "a")], ["/steps/0/input"]),
        ([reading("a", "a", **again("a", "b")), noop("b")], []),
        ([reading("a", "b"), noop("b", **again("a", "c")), noop("c")], []),
        ([noop("a", input="${has(steps.b) ? 1 : 0}"), noop("b")], []),
        ([noop("a", output="${steps.a.status}")], ["/steps/0/output"]),
        ([noop("a", next=[{"nextStepId": "b", "condition": "steps.a.status == 'x'"},
                          {"nextStepId": "b"}]), noop("b")], []),
        ([noop("a", **again("c", "b")), noop("b", next=[]), reading("c", "b")],
         ["/steps/2/input"]),
        ([fork("p", [noop("x")]), reading("b", "x")], []),
        ([fork("p", [noop("x")], output="${steps.x.status}")], []),
        ([fork("p", [noop("x")], input="${steps.x.status}")], ["/steps/0/input"]),
        ([fork("p", [noop("x"), reading("y", "x")])], []),
        ([fork("p", [reading("x", "y"), noop("y")])], [f"{B0}/0/input"]),
        ([fork("p", [noop("x")], [reading("y", "x")])], [f"{B1}/0/input"]),
        ([fork("p", [reading("x", "p")])], [f"{B0}/0/input"]),
        ([fork("p", [noop("x")], [reading("y", "x")], **again("p", "b")), noop("b")], []),
        ([noop("a"), fork("p", [fork("q", [reading("x", "a")])])], []),
        ([fork("p", [fork("q", [noop("x")]), reading("y", "x")])], []),
        ([fork("p", [fork("q", [noop("x")])]), reading("b", "x")], []),
        ([noop("a", compensation={"taskId": "core.noop", "input": "${steps.b.status}"}),
          noop("b")], []),
        ([noop("a", onFailure={"action": "continue", "nextStepId": "c"}, next=[]), noop("b"),
          reading("c", "b")], []),
        ([noop("a", onFailure={"action": "continue", "nextStepId": "c"}, next=[]),
          reading("c", "a")], []),
    ],
)  # fmt: skip
def test_steps_that_cannot_have_run(steps: list[Any], expected: list[str]) -> None:
    """A step is seen after it ended on some way, its branches after the join."""
    reported = [at for at, code in found({"steps": steps}) if code == "step_not_run_before"]
    assert reported == expected


def erring(step_id: str, **members: Any) -> dict[str, Any]:
    return noop(step_id, input="${error.message}", **members)


HANDLED = {"onFailure": {"errorHandler": {"conditions": [{"nextStepId": "b"}]}}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"steps": [erring("a")]}, ["/steps/0/input"]),
        ({"steps": [noop("a"), erring("b")]}, ["/steps/1/input"]),
        ({"steps": [noop("a", next=[], **HANDLED), erring("b")]}, []),
        ({"steps": [noop("a", onFailure={"action": "continue"}), erring("b")]}, []),
        ({"steps": [noop("a", onFailure={"action": "stop"}), erring("b")]}, ["/steps/1/input"]),
        ({"steps": [erring("a", next=[], **HANDLED), noop("b")]}, ["/steps/0/input"]),
        ({"steps": [noop("a"), erring("b")],
          "onFailure": {"action": "continue", "nextStepId": "b"}}, []),
        ({"steps": [noop("a"), erring("b")], "onFailure": {"action": "stop"}},
         ["/steps/1/input"]),
        ({"steps": [fork("p", [noop("x", onFailure={"action": "continue"})]), erring("b")]}, []),
        ({"steps": [fork("p", [noop("x", onFailure={"action": "continue"})], [erring("y")])]},
         []),
        ({"steps": [fork("p", [noop("x")], [erring("y")])]}, [f"{B1}/0/input"]),
        ({"steps": [noop("a", forEach={"items": [], "toleratedFailures": 1}), erring("b")]}, []),
        ({"steps": [noop("a", compensation={"taskId": "core.noop",
                                            "input": "${error.message}"})]}, []),
        ({"steps": [noop("a")], "output": "${error.message}"}, ["/output"]),
        ({"steps": [noop("a", onFailure={"action": "continue"})], "output": "${error.type}"},
         []),
        ({"steps": [noop("a")], "uiComponents": [{"componentId": "a",
                                                  "condition": "error.type == 'A'"}]}, []),
    ],
)  # fmt: skip
def test_errors_that_cannot_be(document: dict[str, Any], expected: list[str]) -> None:
    """``error`` is there after a failure that was handled, and in what undoes a run."""
    reported = [at for at, code in found(document) if code == "error_without_failure"]
    assert reported == expected


@pytest.mark.parametrize(
    ("condition", "on_failure", "warns"),
    [
        ("output.ok", {"action": "continue"}, True),
        ("output.ok", {"action": "continue", "nextStepId": "b"}, False),
        ("output.ok", {"action": "stop"}, False),
        ("has(output.ok) && output.ok", {"action": "continue"}, False),
        ("output == {}", {"action": "continue"}, False),
        ("data.ok", {"action": "continue"}, False),
    ],
)
def test_continue_without_an_output(
    condition: str, on_failure: dict[str, Any], warns: bool
) -> None:
    """A ``next`` that ``continue`` goes through has no fields of ``output`` to read."""
    first = task(
        "a",
        "unknown",
        onFailure=on_failure,
        next=[{"nextStepId": "b", "condition": condition}, {"nextStepId": "b"}],
    )
    expected = [("/steps/0/next/0/condition", "continue_without_output")] if warns else []
    assert found({"steps": [first, noop("b")]}) == expected


TAKES = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "n": {"type": "integer", "minimum": 1},
        "who": {"type": "object", "required": ["name"]},
        "list": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["id"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (TAKES, {"id": "a", "n": 1}, []),
        (TAKES, {"id": "${data.id}", "n": "${data.n}"}, []),
        (TAKES, "${data}", []),
        (TAKES, {"id": 5}, ["/id"]),
        (TAKES, {"id": "$${x}"}, []),
        (TAKES, {"n": 1}, [""]),
        (TAKES, {"n": "${data.n}"}, [""]),
        (TAKES, {"id": "a", "m": "${data.m}"}, ["/m"]),
        (TAKES, {"id": "${data.id}", "n": 0}, ["/n"]),
        (TAKES, {"id": "a", "who": {}}, ["/who"]),
        (TAKES, {"id": "a", "who": "${data.who}"}, []),
        (TAKES, {"id": "a", "list": [1, "${data.x}", "b"]}, ["/list/2"]),
        (TAKES, {"id": "a", "n": "number ${data.n}"}, []),
        (TAKES, [], [""]),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"c": "${data.c}"}, []),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"c": 1}, [""]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}, [], [""]),
        ({"type": "objekt"}, [], []),
    ],
)
def test_task_inputs(schema: Any, value: Any, expected: list[str]) -> None:
    """What is spelled out fits the task's schema; what is open is left alone."""
    catalogue = {"t": TaskSpec(task_id="t", input_schema=schema)}
    for work in (
        task("a", "t", input=value),
        noop("a", compensation={"taskId": "t", "input": value}),
    ):
        at = "/steps/0/compensation/input" if "compensation" in work else "/steps/0/input"
        problems = validate(document_of({"steps": [work]}), catalogue=catalogue).problems
        assert [(problem.pointer, problem.code) for problem in problems] == [
            (f"{at}{where}", "input_does_not_fit") for where in expected
        ]
