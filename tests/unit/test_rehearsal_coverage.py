"""Coverage: which steps and transitions the cases of a definition reached, and how that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.recorded import views_of
from worker.rehearsal.case import Case, load_cases
from worker.rehearsal.coverage import (
    Coverage,
    DefinitionCoverage,
    coverage_lines,
    percent,
    step_views,
    transition_text,
)
from worker.rehearsal.run import rehearse

CASES = sorted((Path(__file__).parents[1] / "rehearsals").glob("*.json"))

STEPS: list[dict[str, Any]] = [
    {
        "stepId": "check",
        "taskId": "check",
        "next": [{"nextStepId": "pay", "condition": "data.ok == true"}, {"nextStepId": "ask"}],
        "onFailure": {
            "action": "continue",
            "nextStepId": "ask",
            "errorHandler": {
                "conditions": [{"errorType": "Broke", "errorCode": "7", "nextStepId": "tell"}]
            },
        },
    },
    {
        "stepId": "pay",
        "taskId": "core.noop",
        "parallelBranches": [
            {
                "branchId": "only",
                "steps": [
                    {"stepId": "first", "taskId": "core.noop"},
                    {"stepId": "second", "taskId": "second"},
                ],
            }
        ],
        "next": [],
    },
    {"stepId": "ask", "taskId": "core.noop", "next": []},
    {"stepId": "tell", "taskId": "core.noop"},
]
ALL = [
    "check → pay if data.ok == true",
    "check → ask",
    "check → tell on Broke 7",
    "check → ask on any error",
    "any step → tell on Lost",
    "first → second",
]


def _case(steps: list[dict[str, Any]] | None = None, **tasks: Any) -> Case:
    definition = {
        "workflowId": "covered",
        "name": "Covered",
        "version": "1.0.0",
        "steps": steps or STEPS,
        "onFailure": {
            "action": "stop",
            "errorHandler": {"conditions": [{"errorType": "Lost", "nextStepId": "tell"}]},
        },
    }
    given = {task: [answer] for task, answer in tasks.items()}
    return Case.model_validate({"name": "a case", "definition": definition, "tasks": given})


def _covered(*cases: Case) -> list[DefinitionCoverage]:
    coverage = Coverage()
    for case in cases:
        coverage.add(case, rehearse(case).journal)
    return coverage.definitions()


def _missed(*cases: Case) -> tuple[list[str], list[str]]:
    [one] = _covered(*cases)
    return list(one.missed_steps), [transition_text(edge) for edge in one.missed_transitions]


GOOD = _case(check={"return": {"ok": True}}, second={"return": None})
ASKED = _case(check={"return": {"ok": False}})
BROKE = _case(check={"throw": {"errorType": "Broke", "errorCode": "7"}})
OTHER = _case(check={"throw": {"errorType": "Other"}})
LOST = _case(check={"return": {"ok": True}}, second={"throw": {"errorType": "Lost"}})


def _without(*taken: str) -> list[str]:
    return [one for one in ALL if one not in taken]


def test_each_case_takes_its_ways() -> None:
    """Entries of ``next``, fall-through in a branch, handlers, ``continue``, the document's own."""
    good = _without("check → pay if data.ok == true", "first → second")
    assert _missed(GOOD) == (["ask", "tell"], good)
    assert _missed(ASKED)[1] == _without("check → ask")
    assert _missed(BROKE)[1] == _without("check → tell on Broke 7")
    assert _missed(OTHER)[1] == _without("check → ask on any error")
    lost = ["check → pay if data.ok == true", "first → second", "any step → tell on Lost"]
    assert _missed(LOST) == (["ask"], _without(*lost))


def test_cases_of_one_definition_add_up() -> None:
    """All of them together reach everything."""
    [one] = _covered(GOOD, ASKED, BROKE, OTHER, LOST)
    assert (one.missed_steps, one.missed_transitions) == ([], [])
    assert (one.cases, one.steps, one.transitions) == (5, 6, 6)
    assert percent([one]) == 100
    assert coverage_lines([one]) == ["covered 1.0.0: 100 %, 6 of 6 steps, 6 of 6 transitions"]


def test_a_definition_is_its_content() -> None:
    """The same name with other steps is another definition, with cases of its own."""
    other = _case([{"stepId": "only", "taskId": "core.noop"}, STEPS[3]])
    first, second = _covered(GOOD, other)
    assert (first.cases, second.cases) == (1, 1)
    assert (first.workflow_id, first.version) == (second.workflow_id, second.version)
    assert first.content_hash != second.content_hash
    assert second.missed_steps == []


def test_a_case_without_a_record_reaches_nothing() -> None:
    """A run that is stuck has none; its definition counts all the same."""
    coverage = Coverage()
    coverage.add(GOOD, None)
    [one] = coverage.definitions()
    assert (one.reached, one.places) == (0, 12)
    assert percent([one]) == 0


def test_a_percentage_is_never_rounded_up() -> None:
    """Only all of it is 100; of nothing at all, everything was reached."""
    one = DefinitionCoverage("w", "1.0.0", "", 1, 100_000, 0, ["last"], [])
    assert percent([one]) == 99.99
    assert percent([]) == 100


def test_the_lines_and_the_values_name_what_is_missing() -> None:
    """In the document's order, each with its condition or its error."""
    covered = _covered(GOOD)
    assert coverage_lines(covered) == [
        "covered 1.0.0: 50 %, 4 of 6 steps, 2 of 6 transitions",
        "    step not reached      ask",
        "    step not reached      tell",
        "    transition not taken  check → ask",
        "    transition not taken  check → tell on Broke 7",
        "    transition not taken  check → ask on any error",
        "    transition not taken  any step → tell on Lost",
    ]
    facts = covered[0].to_json()
    assert facts["percent"] == 50
    assert facts["steps"] == {"total": 6, "missed": ["ask", "tell"]}
    assert facts["transitions"]["missed"][1] == {
        "kind": "handler",
        "source": "check",
        "target": "tell",
        "errorType": "Broke",
        "errorCode": "7",
    }


def test_the_views_of_a_journal_are_those_of_its_record() -> None:
    """As far as a graph asks: what ``definitions.graph`` says of a stored run holds here."""
    for file in CASES:
        for case in load_cases(file):
            result = rehearse(case)
            if result.state is None:
                continue
            _, stored = views_of(result.journal, case.definition, case.input)
            expected = {
                (one.path, one.iteration): (one.step_id, one.status, one.error, one.decision)
                for one in stored
            }
            assert {
                (one.path, one.iteration): (one.step_id, one.status, one.error, one.decision)
                for one in step_views(result.journal)
            } == expected, f"{file.name}: {case.name}"
