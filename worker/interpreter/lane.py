"""A frame on its way: the frame with what it inherits from the steps around it.

Lanes are made anew whenever a run is taken up; nothing in them is kept.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.interpreter.state import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.jsontypes import Json, JsonObject
    from worker.interpreter.children import Scope
    from worker.interpreter.plan import PlannedList
    from worker.interpreter.state import Frame, RunState, Unit


@dataclass(frozen=True, slots=True)
class Lane:
    """A walk through a list of steps. ``outer`` and ``unit``: the step of which it is a branch.

    ``width``: how many walks like this one there may be at once.
    """

    frame: Frame
    planned: PlannedList
    scope: Scope
    outer: Lane | None = None
    unit: Unit | None = None
    width: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the main path."""
        return self.outer is None

    def visible_steps(self) -> Mapping[str, JsonObject]:
        """The steps that expressions here can name: its own, and those before the forks."""
        if self.outer is None:
            return self.frame.steps
        return ChainMap(self.frame.steps, self.outer.visible_steps())  # type: ignore[arg-type]

    def item_names(self) -> dict[str, Json]:
        """``item`` and ``index`` of the innermost ``forEach`` around, if there is one."""
        if self.unit is not None and self.unit.index is not None:
            return {"item": self.unit.item, "index": self.unit.index}
        return self.outer.item_names() if self.outer is not None else {}


def run_names(state: RunState) -> dict[str, Json]:
    """What expressions can name of the run as a whole, on its main path."""
    names: dict[str, Json] = {
        "input": state.input,
        "data": state.main.data,
        "variables": state.variables,
        "steps": state.main.steps,
        "workflow": {
            "id": state.workflow_id,
            "version": state.version,
            "executionId": state.execution_id,
            "correlationId": state.correlation_id,
            "startedAt": timestamp(state.started_at),
        },
        "config": state.config,
        # A run that is paused is still one that runs, as far as its own expressions go.
        "status": "running" if not state.status.ended else str(state.status),
    }
    if state.error is not None:
        names["error"] = state.error
    return names


def names_in_scope(state: RunState, lane: Lane, **more: Any) -> dict[str, Json]:
    """What expressions can name at a step of this lane. ``more`` adds ``output``, ``item``, …."""
    return {
        **run_names(state),
        "data": lane.frame.data,
        "steps": lane.visible_steps(),
        **lane.item_names(),
        **more,
    }
