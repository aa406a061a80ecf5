"""The state of a run that has not begun."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from worker.interpreter.state import Completed, Frame, RunState

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from definitions.calls import ReusedState
    from definitions.jsontypes import JsonObject
    from definitions.requirements import StepRequirements
    from worker.interpreter.plan import Plan


def new_state(
    plan: Plan,
    *,
    org_id: UUID,
    instance_id: UUID,
    execution_id: str,
    first_run_id: str,
    started_at: datetime,
    input: JsonObject,  # noqa: A002 (the document's own word for it)
    correlation_id: str | None = None,
    config: JsonObject | None = None,
    requirements: dict[str, StepRequirements] | None = None,
    reused: ReusedState | None = None,
) -> RunState:
    """A run before its first step: ``data`` is the input, ``variables`` are the document's.

    With ``reused``, a run before the step from which an earlier one is run again.
    """
    state = RunState(
        org_id=org_id,
        instance_id=instance_id,
        execution_id=execution_id,
        first_run_id=first_run_id,
        workflow_id=plan.definition.workflow_id,
        version=plan.definition.version,
        started_at=started_at,
        input=input,
        variables=copy.deepcopy(plan.definition.variables),
        main=Frame(prefix="", position=plan.main.first, data=dict(input)),
        correlation_id=correlation_id,
        log_level=plan.definition.execution_log.level,
        config=config or {},
        requirements=requirements or {},
    )
    if reused is not None:
        state.main.position = reused.step_id
        state.main.data = dict(reused.data)
        state.main.steps = dict(reused.steps)
        state.variables = dict(reused.variables)
        state.error = reused.error
        state.handled_globally = reused.handled_globally
        state.completed = [
            Completed(
                step_id=one.step_id, path=one.path, iteration=one.iteration, output=one.output
            )
            for one in reused.completed
        ]
    return state
