"""What operators do to a run: pause, resume and skip, each with who did it and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from definitions.errors import RefusedError
from worker.interpreter.state import under_way

if TYPE_CHECKING:
    from worker.interpreter.state import ActiveStep, RunState, Unit

_Name = Annotated[str, Field(min_length=1, max_length=255)]


class OperatorRequest(BaseModel):
    """Who acts, and why. Both may be left out; they go on record."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    actor: _Name | None = None
    reason: Annotated[str, Field(max_length=4096)] | None = None


class SkipRequest(OperatorRequest):
    """Which step is to be skipped: its id, or its path where several of that id are under way."""

    step_id: _Name


def find_skippable(state: RunState, name: str) -> tuple[ActiveStep, Unit]:
    """The step, or the item of a ``forEach``, whose task is under way or waits under this name.

    A run cannot see whether a task is in its first attempt or its fifth (Temporal retries it), so
    every task that has not answered yet can be skipped.

    Raises:
        RefusedError: There is none, or there are several.
    """
    if state.cancelling:
        raise RefusedError("the run is being cancelled")
    units = list(under_way(state.main)) if state.stage == "main" else []
    open_ones = [(active, unit) for active, unit in units if unit.phase == "task"]
    for active, unit in open_ones:
        if unit.path == name:
            return active, _unless_too_late(unit)
    matches = [pair for pair in open_ones if pair[0].step_id == name]
    if len(matches) == 1:
        return matches[0][0], _unless_too_late(matches[0][1])
    paths = ", ".join(unit.path for _, unit in open_ones)
    if matches:
        raise RefusedError(f"several steps of {name} are under way; name one by its path: {paths}")
    if any(name in {unit.path, active.step_id, active.path} for active, unit in units):
        raise RefusedError(f"the task of {name} is done, what runs is in its branches: {paths}")
    raise RefusedError(
        f"{name} neither waits nor runs; what does: {paths}" if paths else f"{name} does not run"
    )


def _unless_too_late(unit: Unit) -> Unit:
    if unit.skipped:
        raise RefusedError(f"{unit.path} is being skipped already")
    if unit.verdict is not None or unit.event is not None:
        raise RefusedError(f"{unit.path} has what it waited for already")
    return unit
