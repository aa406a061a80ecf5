"""Every case file on a real Temporal server whose clock skips: the same comes out as offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rehearsals.test_cases import CASES
from worker.rehearsal.run import held_back_differences

if TYPE_CHECKING:
    from worker.rehearsal.case import Case
    from worker.rehearsal.on_temporal.session import TemporalRehearsals


@pytest.mark.parametrize("case", CASES)
def test_a_case_comes_out_as_expected(case: Case, temporal: TemporalRehearsals) -> None:
    """What each case expects is what the production workflow does."""
    assert temporal.rehearse(case).differences == []


@pytest.mark.parametrize("case", CASES)
def test_continued_after_every_step_it_keeps_the_expectations(
    case: Case, temporal: TemporalRehearsals
) -> None:
    """Forced to continue as a new run wherever that can be done, a run comes out right."""
    continued = temporal.rehearse(case, continue_every_step=True)
    assert held_back_differences(case, continued) == []
    several = len([step for step in continued.journal.steps() if "/" not in step.path]) > 1
    if several and continued.attempts:
        assert continued.restarts > 0


@pytest.mark.parametrize("case", CASES)
def test_without_a_cache_a_case_comes_out_as_expected(
    case: Case, uncached: TemporalRehearsals
) -> None:
    """Each workflow task replays the whole history, and comes to the same."""
    assert uncached.rehearse(case).differences == []
