"""Random definitions: on Temporal comes out what comes out offline, however a worker runs them.

``STEPLOOM_EXAMPLES=1000`` tests more of them, and others each time. A case that fails is written to
a file; ``steploom rehearse FILE`` shows what is expected of it, and with ``--on temporal`` what
comes.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from tests.rehearsals.documents import cases, examples
from tests.rehearsals.traces import outcome
from worker.rehearsal.case import parse_case
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from worker.rehearsal.on_temporal.session import TemporalRehearsals
    from worker.rehearsal.run import CaseResult

#: Where a case is kept that fails; of those that hypothesis tries, the last and so the smallest.
FAILED = Path(tempfile.gettempdir()) / "steploom-failed-case.json"
_SIDE_BY_SIDE = ('"parallelBranches"', '"forEach"', '"parallel"')
_EXPECTATIONS = ("status", "output", "path", "elapsed", "error", "compensated", "data")

ON_TEMPORAL = examples(25)


@ON_TEMPORAL
@given(value=cases())
def test_rehearsed_on_temporal_a_run_is_the_same(
    value: dict[str, Any], temporal: TemporalRehearsals
) -> None:
    """Status, output, error, path, attempts, what was compensated, data and time are equal."""
    offline = rehearse(parse_case(value))
    check(value, offline, temporal.rehearse(parse_case(value)))


@ON_TEMPORAL
@given(value=cases())
def test_without_a_cache_a_run_is_the_same(
    value: dict[str, Any], uncached: TemporalRehearsals
) -> None:
    """Replayed from its beginning at every workflow task, a run comes to the same."""
    offline = rehearse(parse_case(value))
    check(value, offline, uncached.rehearse(parse_case(value)))


@ON_TEMPORAL
@given(value=cases())
def test_continued_after_every_step_a_run_comes_to_an_end(
    value: dict[str, Any], temporal: TemporalRehearsals
) -> None:
    """Where nothing runs side by side, to continue as a new run changes nothing."""
    continued = temporal.rehearse(parse_case(value), continue_every_step=True)
    assert continued.status.ended
    if not any(word in json.dumps(value) for word in _SIDE_BY_SIDE):
        check(value, rehearse(parse_case(value)), continued)


def check(value: dict[str, Any], offline: CaseResult, came: CaseResult) -> None:
    """Holds two runs of a case equal; keeps the case when they are not."""
    wanted, got = outcome(offline), outcome(came)
    if wanted == got:
        return
    expected = {key: one for key, one in wanted.items() if key in _EXPECTATIONS}
    FAILED.write_text(json.dumps({**value, "expect": expected}, indent=1))
    different = [key for key in wanted if wanted[key] != got[key]]
    pytest.fail(f"{', '.join(different)}: see {FAILED}")
