"""Every case of the project and of its docs, plain and restarted wherever that can be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import cases
from tests.rehearsals.traces import trace
from worker.rehearsal.case import Case, load_cases
from worker.rehearsal.run import rehearse

FILES = sorted(Path(__file__).parent.glob("*.json"))
CASES = [
    pytest.param(case, id=f"{file.stem}: {case.name}")
    for file in FILES
    for case in load_cases(file)
] + [pytest.param(case, id=place) for place, case in cases()]


@pytest.mark.parametrize("case", CASES)
def test_a_case_comes_out_as_expected(case: Case) -> None:
    """What each case expects is what the interpreter does."""
    assert rehearse(case).differences == []


@pytest.mark.parametrize("case", CASES)
def test_a_restart_at_every_quiescent_point_changes_nothing(case: Case) -> None:
    """Dumped to JSON and loaded again between any two steps, a run leaves the same records."""
    plain = rehearse(case)
    if plain.state is None:
        assert plain.path == [], "only a run that was refused at once has no state"
        return
    restarted = rehearse(case, restart_every_step=True)
    assert restarted.restarts > 0
    assert trace(restarted) == trace(plain)


@pytest.mark.parametrize("case", CASES)
def test_a_restart_that_waits_for_the_tasks_under_way_keeps_the_expectations(case: Case) -> None:
    """Continue-as-new holds new work back until no task is under way; the run comes out right."""
    assert rehearse(case, restart_every_step=True, drained=True).differences == []


def test_the_files_have_names_of_their_own() -> None:
    """A case is found by its name, so no two in a file share one."""
    for file in FILES:
        names = [case.name for case in load_cases(file)]
        assert len(names) == len(set(names)), file.name
