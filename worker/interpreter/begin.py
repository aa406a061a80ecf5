"""The state of a run that has not begun."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from worker.interpreter.state import Frame, RunState

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from definitions.jsontypes import JsonObject
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
) -> RunState:
    """A run before its first step: ``data`` is the input, ``variables`` are the document's."""
    return RunState(
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
    )
