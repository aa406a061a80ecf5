"""Which UI components are shown: conditions, their scope, their order, and what errs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.document import UiComponent
from definitions.ui import UiAnswer, UiUser, components_for, current_step, progress_of

SEED = [
    {
        "componentId": "workflow-progress",
        "condition": "status == 'running'",
        "priority": 1,
        "context": {"title": "Current Progress", "layout": "timeline"},
    },
    {
        "componentId": "workflow-summary",
        "condition": "status == 'completed'",
        "priority": 1,
        "context": {"title": "Workflow Summary", "layout": "card"},
    },
    {
        "componentId": "error-view",
        "condition": "status == 'failed'",
        "priority": 2,
        "context": {"title": "Error Details", "layout": "alert"},
    },
]
NAMES: dict[str, Any] = {
    "input": {"amount": 10},
    "data": {"amount": 10, "many": list(range(1000))},
    "variables": {"level": 2},
    "steps": {"a": {"status": "completed"}},
    "workflow": {"id": "w"},
    "status": "running",
}


def ask(components: list[dict[str, Any]], status: str = "running", **user: Any) -> UiAnswer:
    return components_for(
        [UiComponent.model_validate(one) for one in components],
        {**NAMES, "status": status},
        UiUser(**user),
        execution_id="x",
        progress=0.5,
        current_step={"stepId": "b", "status": "waiting", "progress": 0.25},
    )


def shown(condition: str, **user: Any) -> bool:
    answer = ask([{"componentId": "c", "condition": condition}], **user)
    assert not answer.warnings
    return bool(answer.components)


@pytest.mark.parametrize(
    ("status", "component"),
    [
        ("running", "workflow-progress"),
        ("completed", "workflow-summary"),
        ("failed", "error-view"),
        ("cancelled", None),
    ],
)
def test_by_status(status: str, component: str | None) -> None:
    """The specification's own example; the context is handed on as it is."""
    answer = ask(SEED, status)
    assert [one.component_id for one in answer.components] == ([component] if component else [])
    assert all(one.context["title"] for one in answer.components)
    assert answer.status == status


@pytest.mark.parametrize(
    "condition",
    [
        "progress == 0.5",
        "progress < 1",
        "currentStep.stepId == 'b' && currentStep.status == 'waiting'",
        "currentStep.progress > 0.2",
        "'manager' in user.roles",
        "user.roles.exists(role, role.startsWith('man'))",
        "'pay' in user.permissions",
        "user.id == 'ann'",
        "input.amount == data.amount",
        "variables.level == 2",
        "steps.a.status == 'completed'",
        "!has(steps.b)",
    ],
)
def test_what_is_in_scope(condition: str) -> None:
    """The run's values, how far it is, and who looks."""
    assert shown(condition, id="ann", roles=["manager"], permissions=["pay"])


def test_nobody_in_particular() -> None:
    """Without a user there is one without an id, roles and permissions."""
    assert shown("user.id == null && user.roles.size() == 0 && user.permissions.size() == 0")


@given(st.lists(st.integers(-3, 3), max_size=8))
def test_order(priorities: list[int]) -> None:
    """The lowest priority first; where it is the same, as in the document."""
    components = [
        {"componentId": f"c{index}", "priority": one} for index, one in enumerate(priorities)
    ]
    expected = sorted(range(len(priorities)), key=lambda index: priorities[index])
    assert [one.component_id for one in ask(components).components] == [f"c{i}" for i in expected]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("data.missing", "missing"),
        ("data.amount", "not bool"),
        ("error.type == 'X'", "error"),
        ("status == ", ""),
        ("nothing.at == 'all'", "nothing"),
    ],
)
def test_a_condition_that_errs_hides_its_component(condition: str, reason: str) -> None:
    """And warns; the others are shown."""
    answer = ask([{"componentId": "bad", "condition": condition}, {"componentId": "good"}])
    assert [one.component_id for one in answer.components] == ["good"]
    [warning] = answer.warnings
    assert (warning.component_id, warning.condition) == ("bad", condition)
    assert reason in warning.message


def test_conditions_cost_no_more_than_a_query_may_take() -> None:
    """Many heavy ones: those that come too late are hidden, and it says so."""
    heavy = "data.many.filter(x, x > 1).size() > 0"
    answer = ask([{"componentId": f"c{n}", "condition": heavy} for n in range(200)])
    assert answer.components
    assert any("cost too much" in one.message for one in answer.warnings)
    assert len(answer.components) + len(answer.warnings) == 200


def test_progress() -> None:
    """Ended steps of the main path among all; a completed run is done, whichever way it went."""
    steps = ["a", "b", "c", "d"]
    assert progress_of(steps, {}, "running") == 0
    assert progress_of(steps, {"a": {}, "inner": {}}, "running") == 0.25
    assert progress_of(steps, {"a": {}, "b": {}}, "failed") == 0.5
    assert progress_of(steps, {"a": {}}, "completed") == 1
    assert current_step("a", {"status": "completed"})["progress"] == 1
    assert current_step("a", {"status": "failed"})["progress"] == 0
