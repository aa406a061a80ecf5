"""Where a run goes: unreachable steps, endless loops, handlers, and the conditions of ``next``."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import document_of
from definitions.validation.api import validate


def found(*steps: dict[str, Any], **members: Any) -> list[tuple[str, str]]:
    problems = validate(document_of({"steps": list(steps), **members})).problems
    return [
        (problem.pointer, problem.code)
        for problem in problems
        if problem.code != "unregistered_task"
    ]


def noop(step_id: str, **members: Any) -> dict[str, Any]:
    return {"stepId": step_id, "taskId": "core.noop", **members}


def to(*targets: str) -> list[dict[str, str]]:
    """``"b"`` always, ``"b if data.x"`` under a condition."""
    entries = []
    for target in targets:
        step_id, _, condition = target.partition(" if ")
        entries.append({"nextStepId": step_id} | ({"condition": condition} if condition else {}))
    return entries


def handler(target: str, **error: str) -> dict[str, Any]:
    return {"errorHandler": {"conditions": [{**error, "nextStepId": target}]}}


def fork(step_id: str, *steps: dict[str, Any], **members: Any) -> dict[str, Any]:
    return noop(step_id, parallelBranches=[{"branchId": "b", "steps": list(steps)}], **members)


FAIL = {"stepId": "f", "taskId": "core.fail"}
INNER = "/steps/0/parallelBranches/0/steps"


@pytest.mark.parametrize(
    ("steps", "members", "expected"),
    [
        ([noop("a"), noop("b")], {}, []),
        ([noop("a", next=[]), noop("b")], {}, ["/steps/1"]),
        ([noop("a", next=to("c")), noop("b"), noop("c")], {}, ["/steps/1"]),
        ([noop("a", next=to("c if data.x", "b")), noop("b"), noop("c")], {}, []),
        ([noop("a", next=[]), noop("b", next=to("c")), noop("c")], {}, ["/steps/1", "/steps/2"]),
        ([noop("a", next=[], onFailure=handler("b")), noop("b")], {}, []),
        ([noop("a", next=[], onFailure={"action": "continue", "nextStepId": "b"}), noop("b")],
         {}, []),
        ([noop("a", next=[], onFailure={"action": "continue"}), noop("b")], {}, ["/steps/1"]),
        ([noop("a", next=[], onFailure={"action": "stop"}), noop("b")], {}, ["/steps/1"]),
        ([noop("a", next=[]), noop("b")],
         {"onFailure": {"action": "continue", "nextStepId": "b"}}, []),
        ([noop("a", next=[]), noop("b")], {"onFailure": handler("b", errorType="A")}, []),
        ([FAIL, noop("b")], {}, ["/steps/1"]),
        ([{**FAIL, "onFailure": {"action": "continue"}}, noop("b")], {}, []),
        ([{**FAIL, "forEach": {"items": "${data.items}"}}, noop("b")], {}, []),
        ([fork("a", noop("x", next=[]), noop("y"))], {}, [f"{INNER}/1"]),
        ([noop("a", next=to("nowhere")), noop("b")], {}, []),
    ],
)  # fmt: skip
def test_unreachable_steps(steps: list[Any], members: dict[str, Any], expected: list[str]) -> None:
    """A step is reached by a ``next``, by falling through, or after a failure."""
    reported = [where for where, code in found(*steps, **members) if code == "unreachable_step"]
    assert reported == expected


@pytest.mark.parametrize(
    ("steps", "members", "expected"),
    [
        ([noop("a", next=to("a"))], {}, ["/steps/0"]),
        ([noop("a", next=to("a if data.x"))], {}, []),
        ([noop("a", next=to("a if data.x", "a if !data.x"))], {}, ["/steps/0"]),
        ([noop("a", next=to("b if data.x > 1", "a if data.x <= 1")), noop("b", next=to("a"))], {},
         ["/steps/0"]),
        ([noop("a"), noop("b"), noop("c", next=to("b"))], {}, ["/steps/1"]),
        ([noop("a", next=to("a if data.x", "b")), noop("b")], {}, []),
        ([noop("a", next=to("a"), onFailure=handler("b")), noop("b")], {}, []),
        ([noop("a", next=to("a"), onFailure=handler("b")), noop("b", next=to("a"))], {},
         ["/steps/0"]),
        ([noop("a", next=to("f if data.x", "a")), FAIL], {}, []),
        ([noop("a", next=to("a"))], {"onFailure": handler("a")}, ["/steps/0"]),
        ([noop("a", next=to("a")), noop("b")],
         {"onFailure": {"action": "continue", "nextStepId": "b"}}, []),
        ([fork("p", noop("x", next=to("x")))], {}, [f"{INNER}/0"]),
        ([fork("p", noop("x", next=to("x")), timeout="PT1H",
               onFailure={"action": "continue"})], {}, []),
        ([fork("p", noop("x", next=to("x")))],
         {"onFailure": {"action": "continue", "nextStepId": "p"}}, []),
        ([noop("a", next=to("b if data.x", "c")), noop("b", next=to("b")),
          noop("c", next=to("c"))], {}, ["/steps/1", "/steps/2"]),
    ],
)  # fmt: skip
def test_endless_loops(steps: list[Any], members: dict[str, Any], expected: list[str]) -> None:
    """Each loop without a way out is an error at its first step; a handled failure is a way."""
    reported = [where for where, code in found(*steps, **members) if code == "endless_loop"]
    assert reported == expected


@pytest.mark.parametrize(
    ("steps", "members", "expected"),
    [
        ([noop("a", onFailure=handler("b")), noop("b")], {}, ["/steps/1"]),
        ([noop("a", onFailure=handler("c")), noop("b"), noop("c")], {}, ["/steps/2"]),
        ([noop("a", onFailure=handler("c")), noop("b", next=[]), noop("c")], {}, []),
        ([noop("a", onFailure=handler("b"), next=to("b")), noop("b")], {}, []),
        ([noop("a", onFailure=handler("c"), next=[]), FAIL, noop("c")], {}, []),
        ([noop("a", onFailure=handler("b"), next=[]), noop("b", onFailure=handler("c")),
          noop("c")], {}, []),
        ([noop("a", onFailure={"action": "continue", "nextStepId": "c"}), noop("b"), noop("c")],
         {}, []),
        ([noop("a", onFailure={"action": "continue", "nextStepId": "c"}), noop("b"),
          noop("c", input="${error.message}")], {}, ["/steps/2"]),
        ([noop("a"), noop("b")], {"onFailure": {"action": "continue", "nextStepId": "b"}},
         ["/steps/1"]),
    ],
)  # fmt: skip
def test_falling_into_handlers(
    steps: list[Any], members: dict[str, Any], expected: list[str]
) -> None:
    """A run without an error comes to a step for errors only where ``next`` says so."""
    reported = [where for where, code in found(*steps, **members) if code == "falls_into_handler"]
    assert reported == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([{}, {"errorType": "A"}], [1]),
        ([{"errorType": "A"}, {}], []),
        ([{"errorType": "A"}, {"errorType": "A", "errorCode": "1"}], [1]),
        ([{"errorType": "A", "errorCode": "1"}, {"errorType": "A"}], []),
        ([{"errorCode": "1"}, {"errorType": "A", "errorCode": "1"}, {"errorType": "A"}], [1]),
        ([{"errorType": "A"}, {"errorType": "A"}, {"errorType": "B"}], [1]),
    ],
)
def test_shadowed_handlers(conditions: list[dict[str, str]], expected: list[int]) -> None:
    """The first condition that fits is taken, so one behind a wider one never is."""
    on_failure = {"errorHandler": {"conditions": [{**c, "nextStepId": "b"} for c in conditions]}}
    assert found(noop("a", onFailure=on_failure, next=to("b")), noop("b")) == [
        (f"/steps/0/onFailure/errorHandler/conditions/{index}", "shadowed_handler")
        for index in expected
    ]


SCHEMA = {
    "type": "object",
    "properties": {
        "role": {"enum": ["reader", "admin"]},
        "amount": {"type": "number"},
        "vip": {"type": "boolean"},
    },
    "additionalProperties": True,
}


@pytest.mark.parametrize(
    "conditions",
    [
        ["data.amount > 1000", "data.amount <= 1000"],
        ["data.amount >= 10", "data.amount < 10"],
        ["data.amount < 10", "data.amount >= 10 && data.amount < 20", "data.amount >= 20"],
        ["1000 < data.amount", "!(data.amount > 1000)"],
        ["data.amount < 1.5", "data.amount == 1.5", "data.amount > 1.5"],
        ["data.x == 'a'", "data.x != 'a'"],
        ["data.x in ['a', 'b']", "!(data.x in ['b', 'a'])"],
        ["data.ok", "!data.ok"],
        ["data.ok == true", "data.ok == false"],
        ["has(data.x)", "!has(data.x)"],
        ["data.a > data.b", "data.b >= data.a"],
        ["data.a == data.b", "data.a != data.b"],
        ["size(data.items) > 0", "size(data.items) == 0"],
        ["data.items.exists(i, i.bad)", "!data.items.exists(i, i.bad)"],
        ["data.a && data.b", "!data.a || !data.b"],
        ["data.a ? data.b : data.c", "!(data.a ? data.b : data.c)"],
        ["input.role == 'reader'", "input.role == 'admin'"],
        ["data.amount > 10", "data.x", "data.amount <= 10"],
        ["data.amount > 10", "true"],
        ["data.at < '2030'", "data.at >= '2030'"],
        ["data.amount > 1000", None],
    ],
)  # fmt: skip
def test_conditions_that_cover_everything(conditions: list[str | None]) -> None:
    """Complements, ranges, lists of values and constants are known to be exhaustive."""
    entries = [f"b if {condition}" if condition else "b" for condition in conditions]
    reported = found(noop("a", next=to(*entries)), noop("b"), inputSchema=SCHEMA)
    assert reported == []


@pytest.mark.parametrize(
    "conditions",
    [
        ["data.amount > 1000"],
        ["data.amount > 1000", "data.amount < 1000"],
        ["data.amount > 1000", "data.total <= 1000"],
        ["data.x == 'a'", "data.x == 'b'"],
        ["data.a", "data.b"],
        ["data.a && data.b", "!data.a && !data.b"],
        ["input.role == 'reader'", "data.other == 'admin'"],
        ["data.items.exists(i, i.bad)", "!data.items.exists(i, i.good)"],
        ["data.a > data.b", "data.a < data.b"],
        ["size(data.items) > 1", "size(data.items) == 0"],
    ],
)  # fmt: skip
def test_conditions_that_may_all_be_false(conditions: list[str]) -> None:
    """Where none may be true, the step may fail, and the list is pointed at."""
    entries = [f"b if {condition}" for condition in conditions]
    assert found(noop("a", next=to(*entries)), noop("b"), inputSchema=SCHEMA) == [
        ("/steps/0/next", "transitions_not_exhaustive")
    ]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["b", "b if data.x", "b"], [1, 2]),
        (["b if data.x", "b if data.x", "b"], [1]),
        (["b if data.n > 1", "b if data.n > 2", "b"], [1]),
        (["b if data.n > 2", "b if data.n > 1", "b"], []),
        (["b if data.a || data.c", "b if data.c", "b"], [1]),
        (["b if data.n > 1", "b if data.n <= 1", "b if data.x", "b"], [2]),
        (["b if false", "b"], [0]),
        (["b if data.n > 2 && data.n < 1", "b"], [0]),
        (["b if data.n > 'a' && data.n < 'b'", "b if data.n == 'aa'", "b"], [1]),
        (["b if data.n > 'a' && data.n < 'b'", "b if data.n == 'ba'", "b"], []),
        (["b if input.role == 'admin'", "b if input.role != 'reader'", "b"], [1]),
    ],
)
def test_transitions_that_are_never_taken(entries: list[str], expected: list[int]) -> None:
    """What stands behind conditions that are true whenever it would be is pointed at."""
    assert found(noop("a", next=to(*entries)), noop("b"), inputSchema=SCHEMA) == [
        (f"/steps/0/next/{index}", "transition_never_taken") for index in expected
    ]


def test_an_approval_that_fails_when_rejected_can_only_be_approved() -> None:
    """One condition is enough there, and two are needed with ``onRejected: continue``."""
    ask: dict[str, Any] = {"stepId": "ask", "taskId": "core.approval", "input": {}}
    ask["next"] = to("b if output.decision == 'approved'")
    assert found(ask, noop("b")) == []
    ask["input"] = {"onRejected": "continue"}
    assert found(ask, noop("b")) == [("/steps/0/next", "transitions_not_exhaustive")]
    ask["next"] += to("b if output.decision == 'rejected'")
    assert found(ask, noop("b")) == []


def test_choices_of_any_size_are_tried_in_bounds() -> None:
    """Many conditions on many fields are not tried, and then said to be uncertain."""
    many = " || ".join(f"data.a{number}" for number in range(40))
    assert found(noop("a", next=to(f"b if {many}", f"b if !({many})")), noop("b")) == [
        ("/steps/0/next", "transitions_not_exhaustive")
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"rollback": {}}, [("/rollback", "rollback_without_compensation")]),
        ({"rollback": {"on": []}}, []),
        ({}, []),
    ],
)
def test_rollbacks_without_compensations(
    members: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """A rollback that has nothing to undo is pointed at."""
    assert found(noop("a"), **members) == expected


def test_compensations_that_never_run() -> None:
    """An empty ``rollback.on`` switches all of them off, those in branches too."""
    undo = {"compensation": {"taskId": "core.noop"}}
    assert found(fork("a", noop("x", **undo)), rollback={"on": []}) == [
        (f"{INNER}/0/compensation", "compensation_never_runs")
    ]
    assert found(noop("a", **undo), rollback={"on": ["failed"]}) == []
    assert found(noop("a", **undo)) == []
