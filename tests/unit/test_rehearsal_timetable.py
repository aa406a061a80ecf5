"""How a case is stretched on the server's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from definitions.tasks import TaskSpec
from worker.rehearsal.case import parse_case
from worker.rehearsal.host import START
from worker.rehearsal.on_temporal.timetable import Timetable, make_timetable

ORIGIN = datetime(2100, 5, 1, 12, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def timetable(catalogue: dict[str, TaskSpec] | None = None, **step: Any) -> Timetable:
    """Of a definition with one step."""
    steps = [{"stepId": "a", "taskId": "core.wait", **step}]
    document = {"workflowId": "w", "name": "W", "version": "1.0.0", "steps": steps}
    case = parse_case({"name": "case", "definition": document})
    return make_timetable(case, catalogue or {}, ORIGIN)


def test_the_unit_is_the_finest_time_of_the_case() -> None:
    """Every duration is a multiple of it, and a second too where something may be retried."""
    assert timetable(input={"duration": "PT5M"}).unit == 60 * SECOND
    assert timetable(input={"duration": "PT5M"}, taskId="core.fail").unit == SECOND
    assert timetable(input={"duration": "PT5M"}, retryPolicy={"maxAttempts": 2}).unit == SECOND
    assert timetable(input={"duration": "PT0.25S"}).unit == SECOND / 4
    assert timetable(input={"until": "2026-01-01T00:00:00.5Z"}).unit == SECOND / 2
    spec = TaskSpec(task_id="t", timeout="PT0.2S")
    assert timetable({"t": spec}, input={"duration": "PT5M"}).unit == SECOND / 5


def test_what_is_computed_may_be_anything() -> None:
    """A millisecond is then the unit; so it is where waits grow by fractions."""
    computed = timetable(input={"duration": "${'PT' + '1S'}"})
    assert computed.unit == timedelta(milliseconds=1)
    retry = {"maxAttempts": 3, "backoffRate": 1.5}
    assert timetable(input={"duration": "PT1S"}, retryPolicy=retry).unit == computed.unit


def test_a_long_wait_leaves_less_room() -> None:
    """No wait of the case takes more than two years of the server's."""
    short, long = timetable(input={"duration": "PT1S"}), timetable(input={"duration": "P365D"})
    assert short.window == timedelta(seconds=20_000)
    assert long.window == timedelta(minutes=2)
    assert long.stretched(timedelta(days=365)) <= timedelta(days=2 * 365)


def test_whatever_happens_in_a_window_happens_at_its_instant() -> None:
    """From the first thing that comes from outside to the last operation."""
    table = timetable(input={"duration": "PT1S"})
    due = START + 7 * SECOND
    for place in (table.action_place(0, 1), table.action_place(8, 9), 0.5, 1, 500, 100_000):
        assert table.in_case(table.on_server(due, place)) == due
    assert table.in_case(table.on_server(due, 1) + timedelta(hours=1)) == due
    assert table.in_case(ORIGIN) == START


def test_what_comes_from_outside_comes_first() -> None:
    """Then operations, in the order of their places."""
    table = timetable(input={"duration": "PT1S"})
    actions = [table.action_place(number, 200) for number in range(200)]
    places = [*actions, 0.5, 1, 2, 3]
    times = [table.on_server(START, place) for place in places]
    assert times == sorted(set(times))
