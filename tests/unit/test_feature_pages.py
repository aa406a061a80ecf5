"""The pages of single features: what they show is run, and what they print is what is printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from definitions.document import Definition
from definitions.records import PublishedRecord
from definitions.reruns import reuse
from definitions.start import StartRequest
from definitions.ui import UiUser
from tests.docs import (
    FEATURES,
    OF_THE_RECORD,
    OFFLINE,
    blocks,
    cases_file,
    definitions,
    feature_pages,
    page_cases,
    shown,
    write_files,
    written_cases,
)
from tests.unit.cli import run
from tests.unit.recorded import views_of
from worker.interpreter.begin import new_state
from worker.interpreter.plan import make_plan
from worker.interpreter.summary import ui_answer
from worker.rehearsal.case import Answer
from worker.rehearsal.host import RehearsalHost
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from tests.docs import Shown
    from tests.unit.cli import Run

__all__ = ["run"]

PAGES = [pytest.param(page, id=page.stem) for page in feature_pages()]
SHORTEST, LONGEST = 40, 120
#: What a case can expect beyond how its run ended.
TELLING = {"output", "path", "attempts", "error", "compensated", "data"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_one_page(page: Path) -> None:
    """Long enough to say what surprises, short enough to be read."""
    text = page.read_text(encoding="utf-8")
    assert SHORTEST <= text.count("\n") <= LONGEST
    assert "## Rules that surprise" in text
    assert "## What goes wrong" in text
    assert "\nReference: [" in text


@pytest.mark.parametrize("page", PAGES)
def test_each_definition_of_a_page_is_run(page: Path) -> None:
    """By a case that expects something of it; the cases have names of their own."""
    whole = definitions(page)
    cases = page_cases(page)
    assert whole
    assert all(any(case.definition == one for case in cases) for one in whole.values())
    assert all(set(case["expect"]) & TELLING for case in written_cases(page))
    assert len({case.name for case in cases}) == len(cases)


@pytest.mark.parametrize("page", PAGES)
def test_the_files_of_a_page_can_be_rehearsed(page: Path, run: Run) -> None:
    """Saved under the names that the index gives them, all cases pass, also when restarted."""
    write_files(page, Path.cwd())
    result = run("rehearse", cases_file(page), "--restart-every-step")
    assert result.exit_code == 0, result.stdout


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_printed_that_is_not_run(page: Path) -> None:
    """What a command prints stands on a page only where a test runs the command."""
    told = [one.command for one in shown(page) if one.printed.strip()]
    assert [one for one in told if not one.startswith((*OFFLINE, *OF_THE_RECORD))] == []


def _offline() -> list[tuple[Path, Shown]]:
    return [
        (page, one)
        for page in feature_pages()
        for one in shown(page)
        if one.command.startswith(OFFLINE)
    ]


@pytest.mark.parametrize(
    ("page", "one"),
    [pytest.param(page, one, id=f"{one.place} {one.command}") for page, one in _offline()],
)
def test_a_command_prints_what_the_page_shows(page: Path, one: Shown, run: Run) -> None:
    """To the letter, but for the real time that a rehearsal took."""
    write_files(page, Path.cwd())
    result = run(*shlex.split(one.command)[1:])
    assert _without_times(result.stdout) == _without_times(one.printed.rstrip("\n") + "\n")


def _without_times(printed: str) -> str:
    return re.sub(r"in \d+(\.\d+)? m?s$", "in … s", printed, flags=re.MULTILINE)


def test_the_published_event_is_the_one_of_the_case() -> None:
    """The envelope in publishing.md, with its id, is what the page's first case publishes."""
    page = FEATURES / "publishing.md"
    records = rehearse(page_cases(page)[0]).journal.records
    [event] = [one.envelope for one in records if isinstance(one, PublishedRecord)]
    assert event in [json.loads(one.text) for one in blocks("json", "") if one.page == page]


def test_the_components_are_those_of_the_case() -> None:
    """The answer in ui-components.md is what the page's run says to that user."""
    page = FEATURES / "ui-components.md"
    [case] = page_cases(page)
    state = rehearse(case).state
    assert state is not None
    state.execution_id = "refund-panel-1"
    user = UiUser(permissions=["see-payments"])
    answer = ui_answer(make_plan(case.definition, {}), state, user).to_json()
    assert answer in [json.loads(one.text) for one in blocks("json", "") if one.page == page]


def test_the_rerun_goes_on_from_the_record_of_the_case() -> None:
    """The start object in reruns.md, applied to the page's run, does what the page says."""
    page = FEATURES / "reruns.md"
    [case] = page_cases(page)
    [block] = [one for one in blocks("json", "start") if one.page == page]
    start = StartRequest.model_validate_json(block.text)
    assert start.rerun is not None
    ended, steps = views_of(rehearse(case).journal, case.definition, case.input)
    definition = Definition.model_validate(case.definition)
    reused = reuse(definition, ended, steps, start.rerun.from_step, start.input)

    plan = make_plan(case.definition, {})
    state = new_state(
        plan,
        org_id=ended.org_id,
        instance_id=ended.id,
        execution_id="booking-2",
        first_run_id="rerun",
        started_at=ended.started_at,
        input=start.input,
        reused=reused,
    )
    given = re.findall(r'`(\{"charge": .*?\})`', page.read_text(encoding="utf-8"))
    answers = {
        "book-ledger": [Answer.model_validate({"return": {}, "expectInput": json.loads(given[0])})],
        "send-receipt": [Answer.model_validate({"return": {}, "expectInput": {"charge": "c-1"}})],
    }
    host = RehearsalHost(plan, state, answers)
    again = host.run()
    assert (str(again.status), host.journal.path()) == ("completed", ["book", "tell"])
    assert host.journal.differences == []
