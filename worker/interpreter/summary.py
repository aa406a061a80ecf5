"""What a run says of itself when it is asked: the answers of the queries ``state`` and ``ui``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.ui import UiAnswer, components_for, current_step, progress_of
from worker.interpreter.lane import run_names
from worker.interpreter.state import under_way

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject
    from definitions.ui import UiUser
    from worker.interpreter.plan import Plan
    from worker.interpreter.state import RunState


def public_summary(state: RunState) -> dict[str, Any]:
    """What the ``state`` query answers: the run in the schema's shape, and where it stands.

    ``active`` has everything that is under way, in branches and items as well. ``iterations`` has
    the steps of the main path that were entered more than once.
    """
    return {
        "executionId": state.execution_id,
        "workflowId": state.workflow_id,
        "version": state.version,
        "status": str(state.status),
        "currentStepId": state.current_step_id,
        "input": state.input,
        "steps": state.main.steps,
        "active": _active(state),
        "iterations": {
            step_id: state.iterations[step_id]
            for step_id in state.main.steps
            if state.iterations.get(step_id, 1) > 1
        },
        "variables": state.variables,
        "data": state.main.data,
        "error": state.failure or state.error,
        "output": state.output,
    }


def _active(state: RunState) -> list[JsonObject]:
    if state.stage != "main":
        return []
    found: list[JsonObject] = []
    for active, unit in under_way(state.main):
        if unit.phase == "done":
            continue
        one: JsonObject = {
            "stepId": active.step_id,
            "path": unit.path,
            "iteration": active.iteration,
            "status": "active" if unit.waiting_for is None else "waiting",
        }
        if unit.waiting_for is not None:
            one["waitingFor"] = unit.waiting_for
        found.append(one)
    return found


def ui_answer(plan: Plan, state: RunState, user: UiUser) -> UiAnswer:
    """What the ``ui`` query answers: the components to show to a user now."""
    names = {**run_names(state), "status": str(state.status)}
    return components_for(
        plan.definition.ui_components,
        names,
        user,
        execution_id=state.execution_id,
        progress=progress_of(plan.step_ids, state.main.steps, str(state.status)),
        current_step=_current_step(state),
    )


def _current_step(state: RunState) -> JsonObject | None:
    """The step at which the main path stands, or stood last."""
    active = state.main.active
    if active is None:
        step_id = state.current_step_id
        ended = state.main.steps.get(step_id or "")
        return current_step(step_id, ended) if step_id is not None else None
    waiting = any(unit.waiting_for is not None for unit in active.units)
    done = active.next_item - len(active.units) if active.items else 0
    return {
        "stepId": active.step_id,
        "status": "waiting" if waiting else "active",
        "progress": done / len(active.items or [None]),
    }
