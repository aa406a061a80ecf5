"""Tasks: which exist, and what the built-in ones can take; the document's ``inputSchema``."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.problem_examples import document_of
from definitions.tasks import BUILTIN_TASKS, TaskSpec
from definitions.validation.api import validate

CATALOGUE = {name: TaskSpec(task_id=name) for name in ("charge-card", "send-mail")}


def one(task_id: str, **members: Any) -> dict[str, Any]:
    return document_of({"steps": [{"stepId": "first", "taskId": task_id, **members}]})


def found(document: Any) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in validate(document).problems]


@pytest.mark.parametrize("task_id", sorted(BUILTIN_TASKS))
def test_built_in_tasks_need_no_catalogue(task_id: str) -> None:
    """They exist everywhere, whatever is registered."""
    assert found(one(task_id)) == []
    assert validate(one(task_id), catalogue={}).problems == []


@pytest.mark.parametrize(
    ("task_id", "code", "severity", "meant"),
    [
        ("core.nop", "unknown_core_task", "error", "core.noop"),
        ("charge-crad", "unknown_task", "error", "charge-card"),
        ("quite-something-else", "unknown_task", "error", None),
    ],
)
def test_unknown_tasks(task_id: str, code: str, severity: str, meant: str | None) -> None:
    """A task that nobody registered is an error, with the nearest name."""
    (problem,) = validate(one(task_id), catalogue=CATALOGUE).problems
    assert (problem.pointer, problem.code, problem.severity) == ("/steps/0/taskId", code, severity)
    assert ("did you mean" in problem.message) == (meant is not None)
    assert meant is None or f"{meant!r}?" in problem.message


def test_without_a_catalogue_other_tasks_are_warnings() -> None:
    """Nothing is known of them, and the document can be registered."""
    report = validate(one("charge-card"))
    assert [(p.pointer, p.code, p.severity) for p in report.problems] == [
        ("/steps/0/taskId", "unregistered_task", "warning")
    ]
    assert report.ok
    assert validate(one("charge-card"), catalogue=CATALOGUE).problems == []


def test_what_the_built_in_tasks_return() -> None:
    """``core.publish`` gives an id; what an event or a child brings is not known here."""
    steps = [
        {"stepId": "tell", "taskId": "core.publish", "input": {"type": "a"}},
        {"stepId": "wait", "taskId": "core.event", "input": {"name": "b"}},
        {"stepId": "run", "taskId": "core.workflow", "input": {"workflowId": "other"}},
        {"stepId": "last", "taskId": "core.noop", "input": {}},
    ]
    steps[-1]["input"] = {
        "known": "${steps.tell.output.eventId}",
        "unknown": "${steps.tell.output.id}",
        "event": "${steps.wait.output.anything.at.all}",
        "child": "${steps.run.output.anything.at.all}",
    }
    assert found(document_of({"steps": steps})) == [("/steps/3/input/unknown", "undeclared_field")]


def test_a_compensations_task_is_checked_too() -> None:
    """Its ``taskId`` follows the same rule."""
    report = validate(one("charge-card", compensation={"taskId": "refund"}), catalogue=CATALOGUE)
    assert [(p.pointer, p.code) for p in report.problems] == [
        ("/steps/0/compensation/taskId", "unknown_task")
    ]


GOOD_INPUTS: list[tuple[str, Any]] = [
    ("core.noop", 5),
    ("core.noop", None),
    ("core.set", {"a": None, "b": "${data.x}"}),
    ("core.set", "${data.values}"),
    ("core.wait", {"duration": "PT5M"}),
    ("core.wait", {"duration": "${data.wait}"}),
    ("core.wait", {"duration": "PT${data.minutes}M"}),
    ("core.wait", {"until": "2030-01-31T09:00:00Z"}),
    ("core.wait", {"until": "2030-01-31T09:00:00+01:00", "duration": None}),
    ("core.wait", "${data.wait}"),
    ("core.fail", {}),
    ("core.fail", {"errorType": "A", "errorCode": 502, "message": "m ${data.x}", "details": [1]}),
    ("core.fail", {"errorType": None, "errorCode": None, "message": None}),
    ("core.approval", {}),
    (
        "core.approval",
        {
            "title": "May I?",
            "description": "$${literal}",
            "approvers": ["a", "b"],
            "approvalsRequired": 2,
            "form": {"type": "object"},
            "onRejected": "continue",
        },
    ),
    ("core.approval", {"approvers": "${data.approvers}", "approvalsRequired": 9}),
    ("core.approval", {"approvers": ["${data.a}"], "approvalsRequired": 2}),
    ("core.approval", {"approvers": [], "approvalsRequired": 2}),
    ("core.approval", {"form": {"type": "${data.type}"}}),
    ("core.http", {"url": "https://example.com/${data.id}"}),
    ("core.event", {"name": "payment.settled"}),
    ("core.event", {"name": "paid-${data.orderId}"}),
    ("core.event", {"name": "n" * 255}),
    ("core.event", "${data.event}"),
    ("core.publish", {"type": "order.shipped"}),
    ("core.publish", {"type": "${data.kind}", "subject": None, "data": None}),
    ("core.publish", {"type": "order.shipped", "subject": "o-1", "data": {"id": "${data.id}"}}),
    ("core.workflow", {"workflowId": "billing"}),
    ("core.workflow", {"workflowId": "billing", "version": None, "input": None}),
    ("core.workflow", {"workflowId": "billing", "version": "1.0.0-rc.1", "input": {"a": [1]}}),
    ("core.workflow", {"workflowId": "${data.id}", "version": "${data.v}", "input": "${data}"}),
    ("core.workflow", {"workflowId": "billing", "input": {"amount": "${data.amount}"}}),
    ("core.workflow", "${data.child}"),
    (
        "core.http",
        {
            "method": "post",
            "url": "${data.url}",
            "headers": {"A": "b"},
            "query": {"a": 1},
            "body": [1],
            "expect": [200, 404],
        },
    ),
]


@pytest.mark.parametrize(("task_id", "value"), GOOD_INPUTS)
def test_inputs_that_may_be_right(task_id: str, value: Any) -> None:
    """What an expression gives is not known here, and is never refused."""
    assert found(one(task_id, input=value)) == []


@pytest.mark.parametrize(
    ("task_id", "value", "where", "code"),
    [
        ("core.set", [], "", "invalid_task_input"),
        ("core.set", "text", "", "invalid_task_input"),
        ("core.set", None, "", "invalid_task_input"),
        ("core.set", {"": 1}, "/", "empty"),
        ("core.wait", {}, "", "missing_task_input"),
        ("core.wait", {"duration": None}, "", "missing_task_input"),
        ("core.wait", "PT5M", "", "invalid_task_input"),
        ("core.wait", {"duration": "5m"}, "/duration", "invalid_task_input"),
        ("core.wait", {"duration": "P1M"}, "/duration", "invalid_task_input"),
        ("core.wait", {"duration": 5}, "/duration", "invalid_task_input"),
        ("core.wait", {"until": "tomorrow"}, "/until", "invalid_task_input"),
        ("core.wait", {"until": 5}, "/until", "invalid_task_input"),
        ("core.wait", {"until": "${data.a}", "duration": "${data.b}"}, "/duration",
         "conflicting_task_input"),
        ("core.fail", {"errorType": 5}, "/errorType", "invalid_task_input"),
        ("core.fail", {"errorType": ""}, "/errorType", "invalid_task_input"),
        ("core.fail", {"errorCode": [502]}, "/errorCode", "invalid_task_input"),
        ("core.fail", {"message": 1}, "/message", "invalid_task_input"),
        ("core.fail", {"code": "502"}, "/code", "unknown_task_input"),
        ("core.approval", {"title": 1}, "/title", "invalid_task_input"),
        ("core.approval", {"approvers": "ann"}, "/approvers", "invalid_task_input"),
        ("core.approval", {"approvers": ["ann", 1]}, "/approvers", "invalid_task_input"),
        ("core.approval", {"approvalsRequired": 0}, "/approvalsRequired", "invalid_task_input"),
        ("core.approval", {"approvalsRequired": None}, "/approvalsRequired", "invalid_task_input"),
        ("core.approval", {"approvalsRequired": 2.0}, "/approvalsRequired", "invalid_task_input"),
        ("core.approval", {"approvalsRequired": True}, "/approvalsRequired", "invalid_task_input"),
        ("core.approval", {"approvers": ["a", "a"], "approvalsRequired": 2}, "/approvalsRequired",
         "approvals_unreachable"),
        ("core.approval", {"onRejected": "stop"}, "/onRejected", "invalid_task_input"),
        ("core.approval", {"onRejected": []}, "/onRejected", "invalid_task_input"),
        ("core.approval", {"form": "text"}, "/form", "invalid_task_input"),
        ("core.approval", {"form": {"type": "objekt"}}, "/form/type", "invalid_schema"),
        ("core.approval", {"form": {"$ref": "http://example.com/f"}}, "/form/$ref",
         "remote_schema_reference"),
        ("core.http", {}, "", "missing_task_input"),
        ("core.http", {"url": "example.com"}, "/url", "invalid_task_input"),
        ("core.http", {"url": "https://a", "method": "GET /"}, "/method", "invalid_task_input"),
        ("core.http", {"url": "https://a", "headers": []}, "/headers", "invalid_task_input"),
        ("core.http", {"url": "https://a", "query": "a=b"}, "/query", "invalid_task_input"),
        ("core.http", {"url": "https://a", "expect": [99]}, "/expect", "invalid_task_input"),
        ("core.http", {"url": "https://a", "expect": "2xx"}, "/expect", "invalid_task_input"),
        ("core.http", {"url": "https://a", "timeout": 1}, "/timeout", "invalid_task_input"),
        ("core.http", {"url": "https://a", "headers": {"a": 1}}, "/headers", "invalid_task_input"),
        ("core.http", {"url": "https://a", "headers": None}, "/headers", "invalid_task_input"),
        ("core.http", {"url": "https://a", "query": {"a": []}}, "/query", "invalid_task_input"),
        ("core.http", {"url": "https://" + "a" * 8192}, "/url", "invalid_task_input"),
        ("core.http", {"url": None}, "", "missing_task_input"),
        ("core.event", {}, "", "missing_task_input"),
        ("core.event", {"name": None}, "", "missing_task_input"),
        ("core.event", {"name": ""}, "/name", "invalid_task_input"),
        ("core.event", {"name": 5}, "/name", "invalid_task_input"),
        ("core.event", {"name": "n" * 256}, "/name", "invalid_task_input"),
        ("core.event", {"name": "a", "data": {}}, "/data", "invalid_task_input"),
        ("core.event", "payment.settled", "", "invalid_task_input"),
        ("core.publish", {}, "", "missing_task_input"),
        ("core.publish", {"data": {}}, "", "missing_task_input"),
        ("core.publish", {"type": ""}, "/type", "invalid_task_input"),
        ("core.publish", {"type": "a", "subject": 5}, "/subject", "invalid_task_input"),
        ("core.publish", {"type": "a", "subject": "s" * 256}, "/subject", "invalid_task_input"),
        ("core.publish", {"type": "a", "payload": {}}, "/payload", "invalid_task_input"),
        ("core.workflow", {}, "", "missing_task_input"),
        ("core.workflow", {"workflowId": None}, "", "missing_task_input"),
        ("core.workflow", {"workflowId": "Billing"}, "/workflowId", "invalid_task_input"),
        ("core.workflow", {"workflowId": 5}, "/workflowId", "invalid_task_input"),
        ("core.workflow", {"workflowId": "b", "version": "1"}, "/version", "invalid_task_input"),
        ("core.workflow", {"workflowId": "b", "version": 1}, "/version", "invalid_task_input"),
        ("core.workflow", {"workflowId": "b", "input": []}, "/input", "invalid_task_input"),
        ("core.workflow", {"workflowId": "b", "input": "text"}, "/input", "invalid_task_input"),
        ("core.workflow", {"workflowId": "b", "input": ["${data}"]}, "/input",
         "invalid_task_input"),
        ("core.workflow", {"workflowId": "b", "input": "a ${data.b}"}, "/input",
         "invalid_task_input"),
        ("core.workflow", {"workflowId": "b", "orgId": "other"}, "/orgId", "invalid_task_input"),
    ],
)  # fmt: skip
def test_inputs_that_can_never_be_right(task_id: str, value: Any, where: str, code: str) -> None:
    """A literal that the task cannot take is found before any run."""
    assert found(one(task_id, input=value)) == [(f"/steps/0/input{where}", code)]
    compensation = {"taskId": task_id, "input": value}
    of_input = [
        problem
        for problem in found(one("core.noop", compensation=compensation))
        if problem[1] != "waiting_compensation"
    ]
    assert of_input == [(f"/steps/0/compensation/input{where}", code)]


@pytest.mark.parametrize("task_id", ["core.approval", "core.event"])
def test_a_compensation_does_not_wait_for_anybody(task_id: str) -> None:
    """Nobody could decide, or send the event, while the run is rolled back."""
    compensation = {"taskId": task_id, "input": {"name": "paid"} if "event" in task_id else {}}
    (problem,) = validate(one("core.noop", compensation=compensation)).problems
    assert (problem.pointer, problem.code) == (
        "/steps/0/compensation/taskId",
        "waiting_compensation",
    )
    assert problem.severity == "error"
    assert found(one("core.noop", compensation={"taskId": "core.wait", "input": "${data}"})) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, []),
        ({"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}}, []),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {}}, []),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#"}}}, []),
        ({"$id": "https://example.com/a", "$ref": "b", "$defs": {"b": {"$id": "b"}}}, []),
        ({"const": {"$ref": "http://example.com"}}, []),
        ({"type": "objekt"}, [("/type", "invalid_schema")]),
        ({"properties": {"a": {"minimum": "1"}, "b": {"required": "c"}}},
         [("/properties/a/minimum", "invalid_schema"),
          ("/properties/b/required", "invalid_schema")]),
        ({"properties": {"a": {"pattern": "("}}}, [("/properties/a/pattern", "invalid_schema")]),
        ({"pattern": "(?=a)"}, [("/pattern", "invalid_schema")]),
        ({"pattern": "\\pL{1000}"}, [("/pattern", "invalid_schema")]),
        ({"$schema": "http://example.com/draft"}, [("/$schema", "invalid_schema")]),
        ({"$schema": 5}, [("/$schema", "invalid_schema")]),
        ({"properties": {"a": {"$ref": "#/$defs/no"}}},
         [("/properties/a/$ref", "invalid_schema")]),
        ({"$ref": "#nowhere"}, [("/$ref", "invalid_schema")]),
        ({"$ref": "http://example.com/a"}, [("/$ref", "remote_schema_reference")]),
        ({"$ref": "file:///etc/passwd"}, [("/$ref", "remote_schema_reference")]),
        ({"properties": {"a": {"$ref": "other.json"}, "b": {"$ref": "more.json#/x"}}},
         [("/properties/a/$ref", "remote_schema_reference"),
          ("/properties/b/$ref", "remote_schema_reference")]),
        ({"properties": {f"p{i}": {"pattern": "a"} for i in range(201)}},
         [("", "invalid_schema")]),
    ],
)  # fmt: skip
def test_the_input_schema(schema: Any, expected: list[tuple[str, str]]) -> None:
    """It is a JSON Schema that can be used without fetching anything."""
    document = document_of({"inputSchema": schema})
    assert found(document) == [(f"/inputSchema{where}", code) for where, code in expected]
