"""Ids, targets, failures and timeouts across the whole document."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import document_of
from definitions.validation.api import validate


def found(*steps: dict[str, Any], **members: Any) -> list[tuple[str, str]]:
    report = validate(document_of({"steps": list(steps), **members}))
    return [(problem.pointer, problem.code) for problem in report.problems]


def noop(step_id: str, **members: Any) -> dict[str, Any]:
    return {"stepId": step_id, "taskId": "core.noop", **members}


def branch(branch_id: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"branchId": branch_id, "steps": list(steps)}


def test_step_ids_are_unique_in_the_whole_document() -> None:
    """The later occurrence is reported, in a branch too, and also across branches."""
    assert found(
        noop("a", parallelBranches=[branch("l", noop("b"), noop("a")), branch("r", noop("b"))]),
        noop("b"),
        noop("c"),
    ) == [
        ("/steps/0/parallelBranches/0/steps/1/stepId", "duplicate_step_id"),
        ("/steps/0/parallelBranches/1/steps/0/stepId", "duplicate_step_id"),
        ("/steps/1/stepId", "duplicate_step_id"),
    ]


def test_branch_ids_are_unique_in_one_step() -> None:
    """Another step may use the same ``branchId``."""
    assert found(
        noop("a", parallelBranches=[branch("l", noop("b")), branch("l", noop("c"))]),
        noop("d", parallelBranches=[branch("l", noop("e"))]),
    ) == [("/steps/0/parallelBranches/1/branchId", "duplicate_branch_id")]


FORK = noop("fork", parallelBranches=[branch("l", noop("in-l")), branch("r", noop("in-r"))])


@pytest.mark.parametrize(
    ("members", "where", "code"),
    [
        ({"next": [{"nextStepId": "nope"}]}, "/next/0/nextStepId", "unknown_target"),
        ({"next": [{"nextStepId": "in-l"}]}, "/next/0/nextStepId", "target_in_other_list"),
        (
            {"next": [{"nextStepId": "fork", "condition": "data.a"}, {"nextStepId": "nope"}]},
            "/next/1/nextStepId",
            "unknown_target",
        ),
        (
            {"onFailure": {"action": "continue", "nextStepId": "nope"}},
            "/onFailure/nextStepId",
            "unknown_target",
        ),
        (
            {"onFailure": {"action": "continue", "nextStepId": "in-r"}},
            "/onFailure/nextStepId",
            "target_in_other_list",
        ),
        (
            {"onFailure": {"errorHandler": {"conditions": [{"nextStepId": "nope"}]}}},
            "/onFailure/errorHandler/conditions/0/nextStepId",
            "unknown_target",
        ),
        (
            {"onFailure": {"errorHandler": {"conditions": [{"nextStepId": "in-l"}]}}},
            "/onFailure/errorHandler/conditions/0/nextStepId",
            "target_in_other_list",
        ),
    ],
)
def test_targets_of_a_step(members: dict[str, Any], where: str, code: str) -> None:
    """A target that is nowhere, or in another list of steps, is an error at the target."""
    assert found(FORK, noop("last", **members)) == [(f"/steps/1{where}", code)]


def test_targets_out_of_a_branch() -> None:
    """A branch's step can go neither to the main path nor to a sibling branch."""
    inner = noop(
        "inner", next=[{"nextStepId": "last", "condition": "data.a"}, {"nextStepId": "other"}]
    )
    fork = noop("fork", parallelBranches=[branch("l", inner), branch("r", noop("other"))])
    at = "/steps/0/parallelBranches/0/steps/0/next"
    assert found(fork, noop("last")) == [
        (f"{at}/0/nextStepId", "target_in_other_list"),
        (f"{at}/1/nextStepId", "target_in_other_list"),
    ]


def test_allowed_targets() -> None:
    """Forwards, backwards, to itself, and inside one branch."""

    def again(target: str, onward: str) -> list[dict[str, str]]:
        return [{"nextStepId": target, "condition": "data.again"}, {"nextStepId": onward}]

    inner = branch("l", noop("b"), noop("c", next=again("b", "d")), noop("d"))
    fork = noop("fork", parallelBranches=[inner], next=again("fork", "last"))
    assert found(fork, noop("last", next=again("fork", "end")), noop("end")) == []
    assert found(noop("last", next=[])) == []


def test_a_target_gets_the_nearest_name() -> None:
    """The sentence proposes the step that was meant."""
    report = validate(
        document_of({"steps": [noop("approve"), noop("b", next=[{"nextStepId": "aprove"}])]})
    )
    assert report.problems[0].message == "there is no step 'aprove'; did you mean 'approve'?"


@pytest.mark.parametrize(
    ("on_failure", "expected"),
    [
        ({"action": "retry"}, [("/onFailure/action", "document_retry")]),
        ({"action": "continue"}, [("/onFailure", "document_continue_without_target")]),
        (
            {"action": "continue", "nextStepId": None},
            [("/onFailure", "document_continue_without_target")],
        ),
        (
            {"action": "continue", "nextStepId": "nope"},
            [("/onFailure/nextStepId", "unknown_target")],
        ),
        ({"nextStepId": "a"}, [("/onFailure/nextStepId", "ignored_next_step")]),
        ({"action": "continue", "nextStepId": "a"}, []),
        (
            {"errorHandler": {"conditions": [{"nextStepId": "in-l"}]}},
            [("/onFailure/errorHandler/conditions/0/nextStepId", "target_in_other_list")],
        ),
        ({"action": "stop"}, []),
    ],
)
def test_the_documents_own_on_failure(
    on_failure: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """It cannot retry, and continues only at a step of the main list."""
    assert found(noop("a"), FORK, onFailure=on_failure) == expected


def test_what_has_no_effect_is_a_warning() -> None:
    """A document with warnings alone can be registered."""
    report = validate(
        document_of(
            {
                "steps": [
                    noop("a", onFailure={"nextStepId": "b"}, timeout="PT1M", attemptTimeout="PT2M"),
                    noop("b", timeout="PT2M", attemptTimeout="PT2M"),
                ]
            }
        )
    )
    assert [(p.pointer, p.code, p.severity) for p in report.problems] == [
        ("/steps/0/onFailure/nextStepId", "ignored_next_step", "warning"),
        ("/steps/0/attemptTimeout", "attempt_longer_than_step", "warning"),
    ]
    assert report.ok


@pytest.mark.parametrize("zero", ["PT0S", "P0D", "PT0.000S", "PT0H0M"])
def test_a_timeout_leaves_some_time(zero: str) -> None:
    """Nothing could end within none, so it is an error wherever a timeout stands."""
    step = noop(
        "a",
        timeout=zero,
        attemptTimeout=zero,
        heartbeatTimeout=zero,
        compensation={"taskId": "core.noop", "timeout": zero},
        retryPolicy={"delay": "PT0S"},
    )
    report = validate(document_of({"timeout": zero, "steps": [step]}))
    assert [(p.code, p.severity) for p in report.problems] == [("zero_timeout", "error")] * 5
    assert {p.pointer for p in report.problems} == {
        "/timeout",
        "/steps/0/timeout",
        "/steps/0/attemptTimeout",
        "/steps/0/heartbeatTimeout",
        "/steps/0/compensation/timeout",
    }
    assert found(noop("a", timeout="PT0.001S")) == []
