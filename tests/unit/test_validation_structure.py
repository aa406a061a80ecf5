"""Validation of the shape: each mistake has its pointer and code, and none hides another."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import BASE, document_of
from definitions.validation.api import validate


def found(document: Any) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in validate(document).problems]


def step(**members: Any) -> dict[str, Any]:
    first = {"stepId": "first", "taskId": "core.noop", **members}
    return document_of({"steps": [first, {"stepId": "last", "taskId": "core.noop"}]})


@pytest.mark.parametrize("document", [None, 5, "text", [], [1], True, 1.5])
def test_what_is_no_object(document: Any) -> None:
    """Any other JSON value has one problem, at the root."""
    assert found(document) == [("", "wrong_type")]


def test_an_empty_object_lacks_four_fields() -> None:
    """A missing member is reported at its parent, each by name."""
    problems = validate({}).problems
    assert [(p.pointer, p.code) for p in problems] == [("", "missing_field")] * 4
    assert [p.message for p in problems] == [
        "workflowId is missing",
        "name is missing",
        "version is missing",
        "steps is missing",
    ]


@pytest.mark.parametrize(
    ("members", "where", "code"),
    [
        ({"workflowId": "Order"}, "/workflowId", "invalid_id"),
        ({"workflowId": "a" * 129}, "/workflowId", "invalid_id"),
        ({"workflowId": "order\n"}, "/workflowId", "invalid_id"),
        ({"name": ""}, "/name", "empty"),
        ({"name": "n" * 256}, "/name", "too_long"),
        ({"name": None}, "/name", "wrong_type"),
        ({"description": "é" * 513}, "/description", "too_long"),
        ({"version": "v1.0.0"}, "/version", "invalid_version"),
        ({"version": "1.0"}, "/version", "invalid_version"),
        ({"version": "1.0.0\n"}, "/version", "invalid_version"),
        ({"version": 1}, "/version", "wrong_type"),
        ({"steps": {}}, "/steps", "wrong_type"),
        ({"steps": []}, "/steps", "empty"),
        ({"steps": [1]}, "/steps/0", "wrong_type"),
        ({"timeout": "P1M"}, "/timeout", "invalid_duration"),
        ({"timeout": 5}, "/timeout", "wrong_type"),
        ({"variables": {"": 1}}, "/variables/", "empty"),
        ({"variables": []}, "/variables", "wrong_type"),
        ({"inputSchema": True}, "/inputSchema", "wrong_type"),
        ({"metadata": []}, "/metadata", "wrong_type"),
        ({"rollback": {"on": ["paused"]}}, "/rollback/on/0", "not_one_of"),
        ({"rollback": {"order": "random"}}, "/rollback/order", "not_one_of"),
        ({"executionLog": {"level": "all"}}, "/executionLog/level", "not_one_of"),
        ({"executionLog": {"retention": "1d"}}, "/executionLog/retention", "invalid_duration"),
        ({"executionLog": {"metadata": [1]}}, "/executionLog/metadata/0", "wrong_type"),
        ({"uiComponents": [{"componentId": ""}]}, "/uiComponents/0/componentId", "empty"),
        (
            {"uiComponents": [{"componentId": "a", "priority": "1"}]},
            "/uiComponents/0/priority",
            "wrong_type",
        ),
        (
            {"uiComponents": [{"componentId": "a", "priority": True}]},
            "/uiComponents/0/priority",
            "wrong_type",
        ),
        ({"triggers": [{}]}, "/triggers/0", "missing_field"),
        (
            {"triggers": [{"eventPattern": "a", "transform": {"type": "xslt", "expression": "a"}}]},
            "/triggers/0/transform/type",
            "not_one_of",
        ),
        ({"descripton": "x"}, "/descripton", "unknown_field"),
        ({"workflow_id": "x"}, "/workflow_id", "unknown_field"),
        ({"a/b~c": 1}, "/a~1b~0c", "unknown_field"),
        ({"": 1}, "/", "unknown_field"),
    ],
)
def test_the_documents_own_fields(members: dict[str, Any], where: str, code: str) -> None:
    """Each broken field of the document is found where it is."""
    undone = {"steps": [{**BASE["steps"][0], "compensation": {"taskId": "core.noop"}}]}
    assert found(document_of({**undone, **members})) == [(where, code)]


@pytest.mark.parametrize(
    ("members", "where", "code"),
    [
        ({"stepId": "a b"}, "/stepId", "invalid_id"),
        ({"stepId": ""}, "/stepId", "invalid_id"),
        ({"stepId": 5}, "/stepId", "wrong_type"),
        ({"taskId": ""}, "/taskId", "empty"),
        ({"taskId": None}, "/taskId", "wrong_type"),
        ({"next": {}}, "/next", "wrong_type"),
        ({"next": [{}]}, "/next/0", "missing_field"),
        ({"next": [{"nextStepId": "last", "condition": ""}]}, "/next/0/condition", "empty"),
        ({"next": [{"nextStepId": "last", "when": "true"}]}, "/next/0/when", "unknown_field"),
        ({"parallelBranches": {}}, "/parallelBranches", "wrong_type"),
        ({"parallelBranches": [{"branchId": "a"}]}, "/parallelBranches/0", "missing_field"),
        (
            {"parallelBranches": [{"branchId": "a", "steps": []}]},
            "/parallelBranches/0/steps",
            "empty",
        ),
        ({"forEach": {}}, "/forEach", "missing_field"),
        (
            {"forEach": {"items": [], "maxConcurrency": 0}},
            "/forEach/maxConcurrency",
            "out_of_range",
        ),
        (
            {"forEach": {"items": [], "toleratedFailures": -1}},
            "/forEach/toleratedFailures",
            "out_of_range",
        ),
        ({"retryPolicy": {"maxAttempts": 0}}, "/retryPolicy/maxAttempts", "out_of_range"),
        ({"retryPolicy": {"maxAttempts": "3"}}, "/retryPolicy/maxAttempts", "wrong_type"),
        ({"retryPolicy": {"maxAttempts": True}}, "/retryPolicy/maxAttempts", "wrong_type"),
        ({"retryPolicy": {"maxAttempts": 1.5}}, "/retryPolicy/maxAttempts", "wrong_type"),
        ({"retryPolicy": {"maxAttempts": 10**300}}, "/retryPolicy/maxAttempts", "out_of_range"),
        ({"retryPolicy": {"maxAttempts": 1e300}}, "/retryPolicy/maxAttempts", "out_of_range"),
        ({"retryPolicy": {"backoffRate": 0.5}}, "/retryPolicy/backoffRate", "out_of_range"),
        ({"retryPolicy": {"backoffRate": "2"}}, "/retryPolicy/backoffRate", "wrong_type"),
        ({"retryPolicy": {"strategy": "linear"}}, "/retryPolicy/strategy", "not_one_of"),
        ({"retryPolicy": {"delay": "PT1.5H"}}, "/retryPolicy/delay", "invalid_duration"),
        ({"onFailure": {"action": "contine"}}, "/onFailure/action", "not_one_of"),
        ({"onFailure": "stop"}, "/onFailure", "wrong_type"),
        ({"compensation": {}}, "/compensation", "missing_field"),
        ({"timeOut": "PT1S"}, "/timeOut", "unknown_field"),
    ],
)
def test_a_steps_fields(members: dict[str, Any], where: str, code: str) -> None:
    """Each broken field of a step is found where it is, and nothing else is."""
    assert found(step(**members)) == [(f"/steps/0{where}", code)]


def test_everything_at_once_in_the_order_of_the_document() -> None:
    """A broken part hides no other one, neither of the same object nor of another rule."""
    document = {
        "naem": "Slip",
        "steps": [
            {"stepId": "a", "taskId": 5, "tiemout": "PT1S", "next": [{"nextStepId": "nowhere"}]},
            {"stepId": "a", "taskId": "core.nop", "input": "${output}", "timeout": "soon"},
            7,
        ],
        "version": "1",
        "workflowId": "order",
        "onFailure": {"action": "retry"},
    }
    assert found(document) == [
        ("", "missing_field"),
        ("/naem", "unknown_field"),
        ("/steps/0/taskId", "wrong_type"),
        ("/steps/0/tiemout", "unknown_field"),
        ("/steps/0/next/0/nextStepId", "unknown_target"),
        ("/steps/1/stepId", "duplicate_step_id"),
        ("/steps/1/taskId", "unknown_core_task"),
        ("/steps/1/input", "name_not_in_scope"),
        ("/steps/1/timeout", "invalid_duration"),
        ("/steps/2", "wrong_type"),
        ("/version", "invalid_version"),
        ("/onFailure/action", "document_retry"),
    ]


@pytest.mark.parametrize(
    ("field", "meant"),
    [("descripton", "description"), ("Name", "name"), ("on_failure", "onFailure"), ("zzz", None)],
)
def test_an_unknown_field_gets_the_nearest_known_one(field: str, meant: str | None) -> None:
    """The sentence proposes what was meant, where something is near."""
    (problem,) = validate(document_of({field: 1})).problems
    assert (f"did you mean {meant!r}?" in problem.message) == (meant is not None)


def test_free_keys() -> None:
    """``x-`` keys are free everywhere, and so are ``metadata`` and ``context`` inside."""
    document = document_of(
        {
            "x-owner": {"anything": [1]},
            "metadata": {"any": {"thing": 1}},
            "uiComponents": [{"componentId": "a", "context": {"any": 1}, "x-icon": "b"}],
            "steps": [
                {
                    "stepId": "a",
                    "taskId": "core.noop",
                    "x-position": [1, 2],
                    "retryPolicy": {"x-why": "flaky"},
                    "onFailure": {"errorHandler": {"x-note": 1, "conditions": []}},
                    "parallelBranches": [
                        {
                            "branchId": "b",
                            "x-lane": 1,
                            "steps": [{"stepId": "c", "taskId": "core.noop", "x-y": 1}],
                        }
                    ],
                }
            ],
        }
    )
    assert found(document) == []


def test_unknown_fields_deep_in_branches() -> None:
    """The walk for unknown fields goes wherever the format goes."""
    inner = {"stepId": "c", "taskId": "core.noop", "forEach": {"items": [], "max": 1}}
    document = step(parallelBranches=[{"branchId": "b", "steps": [inner], "lane": 1}])
    assert found(document) == [
        ("/steps/0/parallelBranches/0/steps/0/forEach/max", "unknown_field"),
        ("/steps/0/parallelBranches/0/lane", "unknown_field"),
    ]


def test_a_size_over_the_limit() -> None:
    """The whole document has at most 256 KB as compact JSON."""
    assert found(document_of({"x-note": "é" * 128 * 1024})) == [("", "document_too_large")]
    assert found(document_of({"x-note": "é" * 127 * 1024})) == []
