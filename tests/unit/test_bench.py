"""The benchmark's arithmetic, and what it runs. How fast anything is, no test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from activities.registry import TaskRegistry
from bench.chain import STEPS, definition, wanted
from bench.driver import SETTINGS, Found, Setting
from bench.figures import Measured, per_step, ratios, spread
from bench.report import as_json, as_markdown, write_into
from definitions.validation.api import parse_definition
from worker.rehearsal.case import parse_case
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from pathlib import Path

    from bench.chain import Mode


def _turn(steps: int, seconds: float) -> Measured:
    return Measured(
        steps=steps,
        seconds=seconds,
        cpu={"worker": 0.5, "temporal": 0.25},
        transactions=40,
        rows=400,
        wal=102_400,
    )


def test_a_spread_has_the_median_and_both_ends() -> None:
    """The median of an even number lies between the two in the middle."""
    one = spread([3.0, 1.0, 2.0, 10.0])
    assert (one.median, one.lowest, one.highest) == (2.5, 1.0, 10.0)
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_ratios_are_made_within_each_round() -> None:
    """A round in which everything was slow does not count for less."""
    found = ratios([90.0, 9.0, 80.0], [100.0, 10.0, 100.0])
    assert found.median == pytest.approx(0.9)
    assert (found.lowest, found.highest) == pytest.approx((0.8, 0.9))
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_figures_are_for_each_step() -> None:
    """Nothing done costs nothing."""
    assert per_step(5.0, 100) == 0.05
    assert per_step(5.0, 0) == 0
    assert _turn(100, 0.5).rate == 200


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_the_definitions_are_valid_and_count_to_ten(mode: Mode) -> None:
    """Its tasks are there, run as they should, and the ten steps give what every side gives."""
    registry = TaskRegistry.load(["bench.tasks"])
    document = definition(mode)
    parsed = parse_definition(document, catalogue=registry.specs())
    assert len(parsed.steps) == STEPS
    assert registry.specs()[f"bench.add-{mode}"].mode == mode
    answers = [{"return": {"n": 5 + number}} for number in range(1, STEPS + 1)]
    case = {
        "name": "ten steps",
        "definition": document,
        "input": {"n": 5},
        "tasks": {f"bench.add-{mode}": answers},
        "expect": {"status": "completed", "output": wanted(5)},
    }
    result = rehearse(parse_case(case))
    assert result.passed, result.differences


def test_the_tables_tell_what_was_measured(tmp_path: Path) -> None:
    """Each setting has its table, a bar that was missed is marked, and the page keeps the rest."""
    setting = Setting("local", 50)
    assert setting in SETTINGS
    found = Found(
        turns={
            (setting, "handwritten"): [_turn(500, 1.0), _turn(500, 5.0)],
            (setting, "off"): [_turn(500, 1.0), _turn(500, 5.0)],
            (setting, "on"): [_turn(500, 2.0), _turn(500, 10.0)],
        },
        events={("local", "handwritten"): 15, ("local", "on"): 18},
    )
    table = as_markdown(found)
    assert "| steploom | 150 (50 to 250) | 1.00 | 0.50 | 0.00 | 0.08 | 0.80 | 0.20 |" in table
    assert "| local, 50 at once | steploom / steploom, recording off | 0.50" in table
    assert "0.85 (missed)" in table
    assert "| local | steploom | 18 | 1.8 |" in table
    told = as_json(found)
    assert [one["median"] for one in told["ratios"]] == [0.5, 0.5]

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- end of measured -->\nafter\n")
    write_into(page, table)
    written = page.read_text()
    assert table in written
    assert "old" not in written
    assert written.startswith("before\n")
    assert written.endswith("after\n")
