"""A rerun begins with what the run had when it came to the step: rebuilt from the record alone."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, note

from definitions.document import Definition
from definitions.reruns import reuse
from tests.rehearsals.documents import cases
from tests.rehearsals.test_equivalence import FIXED
from tests.unit.recorded import views_of
from worker.rehearsal.case import Case, load_cases, parse_case
from worker.rehearsal.host import RehearsalHost
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = sorted(Path(__file__).parent.glob("*.json"))
CASES = [
    pytest.param(case, id=f"{file.stem}: {case.name}")
    for file in FILES
    for case in load_cases(file)
]


@dataclass
class Before:
    """What a run had when it came to a step of its main path."""

    data: dict[str, Any]
    variables: dict[str, Any]
    steps: dict[str, Any]
    error: dict[str, Any] | None
    completed: list[dict[str, Any]]
    handled_globally: bool


@pytest.fixture(name="seen", scope="module")
def _seen() -> dict[str, Before]:
    return {}


@pytest.fixture(autouse=True, scope="module")
def _look(seen: dict[str, Before]) -> Any:
    """Has every rehearsal of this module tell what it had at each step of its main path."""
    patch = pytest.MonkeyPatch()
    admit = RehearsalHost.admit

    async def admitted(host: RehearsalHost, may_start: Callable[[], bool], *, seq: int) -> None:
        await admit(host, may_start, seq=seq)
        state = host.interpreter.state
        if state.stage == "main" and state.main.active is None and state.main.position is not None:
            kept = Before(
                data=state.main.data,
                variables=state.variables,
                steps=state.main.steps,
                error=state.error,
                completed=[
                    {"path": one.path, "iteration": one.iteration, "output": one.output}
                    for one in state.completed
                ],
                handled_globally=state.handled_globally,
            )
            seen[state.main.position] = copy.deepcopy(kept)

    patch.setattr(RehearsalHost, "admit", admitted)
    yield
    patch.undo()


def compare(case: Case, seen: dict[str, Before]) -> int:
    """Holds what would be taken over against what there was; returns for how many steps."""
    seen.clear()
    result = rehearse(case)
    if result.state is None:
        return 0
    instance, steps = views_of(result.journal, case.definition, case.input)
    # What came after the step does not matter here, a rollback included.
    steps = [one.model_copy(update={"compensated": None}) for one in steps]
    definition = Definition.model_validate(case.definition)
    began = [one.path for one in steps]
    for step_id, before in seen.items():
        if step_id not in began:
            continue
        state = reuse(definition, instance, steps, step_id, case.input)
        rebuilt = Before(
            data=state.data,
            variables=state.variables,
            steps=state.steps,
            error=state.error,
            completed=[
                {"path": one.path, "iteration": one.iteration, "output": one.output}
                for one in state.completed
            ],
            handled_globally=state.handled_globally,
        )
        assert rebuilt == before, step_id
    return len(seen)


@pytest.mark.parametrize("case", CASES)
def test_the_state_before_each_step_can_be_had_from_the_record(
    case: Case, seen: dict[str, Before]
) -> None:
    """Data, variables, steps, error and what a rollback would undo, for every case there is."""
    compare(case, seen)


@FIXED
@given(value=cases())
def test_the_state_before_each_step_of_a_random_run_can_be_had_from_its_record(
    value: dict[str, Any], seen: dict[str, Before]
) -> None:
    """Loops, forks, items, failures, events, skips and people in any mixture."""
    note(json.dumps(value, indent=1))
    assert compare(parse_case(value), seen) > 0
