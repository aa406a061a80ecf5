"""Random definitions: a restart changes nothing, wherever it comes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, note

from tests.rehearsals.documents import cases, examples
from tests.rehearsals.traces import trace
from worker.rehearsal.case import parse_case
from worker.rehearsal.run import rehearse

FIXED = examples(200)


@FIXED
@given(cases())
def test_restarted_at_every_quiescent_point_a_run_is_the_same(value: dict[str, Any]) -> None:
    """Records, attempts, state and times are equal to the microsecond."""
    note(json.dumps(value, indent=1))
    case = parse_case(value)
    assert trace(rehearse(case, restart_every_step=True)) == trace(rehearse(case))


@FIXED
@given(cases())
def test_restarted_when_no_task_is_under_way_a_run_comes_to_an_end(value: dict[str, Any]) -> None:
    """Where nothing runs side by side, holding work back takes no time and changes nothing."""
    note(json.dumps(value, indent=1))
    case = parse_case(value)
    drained = rehearse(case, restart_every_step=True, drained=True)
    assert drained.status.ended
    if "parallelBranches" not in json.dumps(value) and "forEach" not in json.dumps(value):
        assert trace(drained) == trace(rehearse(case))
