"""Every case file on a real Temporal server whose clock skips: the same comes out as offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rehearsals.test_cases import CASES
from worker.rehearsal.on_temporal.session import TemporalRehearsals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.rehearsal.case import Case


@pytest.fixture(scope="module")
def temporal() -> Iterator[TemporalRehearsals]:
    """A test server and a worker on it, for the whole file."""
    with TemporalRehearsals() as rehearsals:
        yield rehearsals


@pytest.mark.parametrize("case", CASES)
def test_a_case_comes_out_as_expected(case: Case, temporal: TemporalRehearsals) -> None:
    """What each case expects is what the production workflow does."""
    assert temporal.rehearse(case).differences == []
