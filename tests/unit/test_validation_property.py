"""A document that is put together from valid pieces has no errors, whatever the pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.problem_examples import document_of
from definitions.validation.api import validate

ROOT = Path(__file__).parents[2]
SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "name": {"type": "string"},
        "role": {"enum": ["reader", "admin"]},
        "items": {"type": "array"},
        "vip": {"type": "boolean"},
    },
    "required": ["amount"],
}
VALUES = st.sampled_from(
    ["${data}", "${input.amount}", "${input.amount + 1.0}", "Order ${input.name}", "${size(data)}",
     "${variables.n}", "${input.items.map(i, i)}", "${workflow.id}", "$${literal}", 5, None, "text",
     "${has(error.message) ? 1 : 2}", "${data.note}"]
)  # fmt: skip
CONDITIONS = st.sampled_from(
    ["input.amount > 1000", "input.amount <= 1000", "input.vip", "!input.vip",
     "input.role == 'admin'", "variables.n < 3", "input.items.exists(i, i == 1)", "has(input.name)",
     "status == 'running'",
     "input.name.startsWith('a')", "data.vip || size(input.items) > 2", "has(error.type)"]
)  # fmt: skip
MAPPINGS = st.one_of(VALUES, st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3))
TASKS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"taskId": "core.noop"},
        {"taskId": "charge-card"},
        {"taskId": "core.set", "input": {"n": "${variables.n + 1}"}},
        {"taskId": "core.wait", "input": {"duration": "PT1M"}},
        {"taskId": "core.approval", "input": {"title": "May I?"}},
        {"taskId": "core.fail", "input": {"errorType": "Refused"}},
    ]
)


@st.composite
def step_lists(draw: st.DrawFn, prefix: str = "", depth: int = 2) -> list[dict[str, Any]]:
    """Steps whose ways lead forward, or back with a way out."""
    count = draw(st.integers(1, 4))
    ids = [f"{prefix}s{number}" for number in range(count)]
    return [draw(steps_of(ids, at, depth)) for at in range(count)]


@st.composite
def steps_of(draw: st.DrawFn, ids: list[str], at: int, depth: int) -> dict[str, Any]:
    """One step of a list."""
    step: dict[str, Any] = {"stepId": ids[at], **draw(TASKS)}
    later = ids[at + 1 :]
    if "input" not in step and draw(st.booleans()):
        step["input"] = draw(MAPPINGS)
    if draw(st.booleans()):
        step["output"] = draw(MAPPINGS)
    way = draw(st.integers(0, 4))
    if way == 1:
        step["next"] = []
    elif way > 1 and later:
        targets = st.sampled_from(later if way == 2 else ids)
        step["next"] = [
            {"nextStepId": draw(targets), "condition": draw(CONDITIONS)}
            for _ in range(draw(st.integers(0, 3)))
        ]
        # The last entry leads on, so that no loop is without a way out.
        step["next"].append({"nextStepId": draw(st.sampled_from(later))})
    if draw(st.booleans()) and later:
        step["onFailure"] = draw(failures(later))
    if draw(st.integers(0, 3)) == 0:
        step["compensation"] = {"taskId": "undo", "input": draw(MAPPINGS)}
    if draw(st.integers(0, 3)) == 0:
        step["forEach"] = {"items": "${input.items}", "toleratedFailures": draw(st.integers(0, 2))}
    if depth and draw(st.integers(0, 2)) == 0:
        step["parallelBranches"] = [
            {"branchId": f"b{number}", "steps": draw(step_lists(f"{ids[at]}b{number}", depth - 1))}
            for number in range(draw(st.integers(1, 2)))
        ]
    return step


@st.composite
def failures(draw: st.DrawFn, later: list[str]) -> dict[str, Any]:
    """An ``onFailure`` that leads forward."""
    conditions = [
        {"errorType": draw(st.sampled_from("AB")), "nextStepId": draw(st.sampled_from(later))}
        for _ in range(draw(st.integers(0, 2)))
    ]
    handler = {"errorHandler": {"conditions": conditions}}
    return draw(
        st.sampled_from(
            [
                {"action": "continue"},
                {"action": "stop"},
                {"action": "retry"},
                {"action": "continue", "nextStepId": later[-1]},
                handler,
                {"action": "continue", **handler},
            ]
        )
    )


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A whole document."""
    steps = draw(step_lists())
    members: dict[str, Any] = {"steps": steps, "inputSchema": SCHEMA, "variables": {"n": 0}}
    if draw(st.booleans()):
        members["output"] = draw(MAPPINGS)
    if draw(st.booleans()):
        members["onFailure"] = {"action": "continue", "nextStepId": steps[-1]["stepId"]}
    if draw(st.booleans()):
        on = draw(st.sampled_from([[], ["failed"], ["failed", "cancelled"]]))
        members["rollback"] = {"on": on}
    if draw(st.booleans()):
        members["triggers"] = [
            {
                "eventPattern": draw(st.sampled_from(["a", "a.*", "a.**"])),
                "transform": draw(
                    st.sampled_from(
                        [
                            {"type": "jmespath", "expression": "{amount: data.total}"},
                            {"type": "jsonata", "expression": '{"amount": $sum(data.n)}'},
                        ]
                    )
                ),
            }
        ]
    return document_of(members)


@given(documents())
@settings(max_examples=300, deadline=None)
def test_valid_pieces_make_a_valid_document(document: dict[str, Any]) -> None:
    """There may be warnings, as of steps that nothing leads to, but no error."""
    report = validate(document)
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    assert report.definition is not None


def rehearsed() -> list[tuple[str, dict[str, Any]]]:
    """Every definition that a rehearsal spells out."""
    found = []
    for path in sorted((ROOT / "tests" / "rehearsals").glob("*.json")):
        content = json.loads(path.read_bytes())
        found += [
            (f"{path.stem}: {case.get('name')}", case["definition"])
            for case in (content if isinstance(content, list) else [content])
            if isinstance(case.get("definition"), dict)
        ]
    return found


#: What the rehearsals' definitions may be warned of: each tries out what happens then.
TRIED_OUT = {
    "unregistered_task",
    "unreachable_step",
    "transitions_not_exhaustive",
    "step_not_run_before",
    "error_without_failure",
    "continue_without_output",
    "falls_into_handler",
}


@pytest.mark.parametrize(("name", "document"), rehearsed(), ids=lambda value: str(value)[:60])
def test_what_is_rehearsed_is_valid(name: str, document: dict[str, Any]) -> None:
    """No rule refuses a definition that runs, and no other warning is given."""
    report = validate(document)
    assert report.ok, name
    assert {problem.code for problem in report.problems} <= TRIED_OUT
