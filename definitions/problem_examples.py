"""The smallest example of each problem code, for the docs and for the test of the codes.

Kept apart from ``definitions.problem_codes`` because they are data alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject


class ValueExample(NamedTuple):
    """A schema and a value that does not fit it."""

    schema: JsonObject
    value: Json


#: A document without a problem. The examples of document codes are members laid over it.
BASE: JsonObject = {
    "workflowId": "example",
    "name": "Example",
    "version": "1.0.0",
    "steps": [{"stepId": "first", "taskId": "core.noop"}],
}


class Repeated(NamedTuple):
    """A text too long to write down: ``unit``, many times, between ``head`` and ``tail``."""

    head: str
    unit: str
    times: int
    tail: str

    @property
    def text(self) -> str:
        """The whole of it."""
        return self.head + self.unit * self.times + self.tail


def document_of(members: JsonObject) -> JsonObject:
    """The whole document of an example. A member that is ``...`` (Ellipsis) is left out."""
    return {
        key: value.text if isinstance(value, Repeated) else value
        for key, value in {**BASE, **members}.items()
        if value is not ...
    }


def _step(**members: Json) -> JsonObject:
    return {"steps": [{"stepId": "first", "taskId": "core.noop", **members}]}


def _task(task_id: str, **members: Json) -> JsonObject:
    return {"steps": [{"stepId": "first", "taskId": task_id, "input": members}]}


def _then(**members: Json) -> JsonObject:
    """Two steps, the first with these members."""
    first = {"stepId": "first", "taskId": "core.noop", **members}
    return {"steps": [first, {"stepId": "last", "taskId": "core.noop"}]}


def _choice(*conditions: str | None) -> JsonObject:
    """A choice between ways that all lead to the same step. None: no condition."""
    return _then(
        next=[
            {"nextStepId": "last"} | ({} if condition is None else {"condition": condition})
            for condition in conditions
        ]
    )


def _amount(condition: str) -> JsonObject:
    """A condition over an input whose amount is a number."""
    schema = {"properties": {"amount": {"type": "number"}}, "additionalProperties": False}
    return {"inputSchema": schema, **_choice(condition, None)}


#: JSON texts that the gate refuses.
TEXTS: dict[str, str | bytes | Repeated] = {
    "invalid_json": '{"name": }',
    "trailing_data": "{} {}",
    "invalid_utf8": b'{"name": "\xff"}',
    "text_too_long": Repeated('"', "x", 16 * 1024 * 1024, '"'),
    "duplicate_key": '{"name": 1, "name": 2}',
    "not_a_number": '{"amount": NaN}',
    "number_out_of_range": '{"amount": 1e131071}',
    "null_character": '{"name": "a\\u0000b"}',
    "lone_surrogate": '{"name": "\\ud83d"}',
    "too_deep": Repeated("", "[", 65, ""),
    "too_many_values": Repeated("[", "0,", 100_000, "0]"),
}

#: Members laid over ``BASE``.
DOCUMENTS: dict[str, JsonObject] = {
    "not_json": {"metadata": {"when": (1, 2)}},
    "document_too_large": {"x-note": Repeated("", "x", 256 * 1024, "")},
    "unknown_field": {"descripton": "A slip of the pen."},
    "missing_field": {"name": ...},
    "wrong_type": {"name": 5},
    "not_one_of": _step(onFailure={"action": "contine"}),
    "invalid_id": {"workflowId": "Expense Approval"},
    "invalid_version": {"version": "1"},
    "invalid_duration": _step(timeout="5 minutes"),
    "empty": {"steps": []},
    "too_long": {"version": "1.0.0-" + "a" * 50},
    "out_of_range": _step(retryPolicy={"maxAttempts": 0}),
    "duplicate_step_id": {"steps": [*BASE["steps"], *BASE["steps"]]},
    "duplicate_branch_id": _step(
        parallelBranches=[
            {"branchId": "left", "steps": [{"stepId": "a", "taskId": "core.noop"}]},
            {"branchId": "left", "steps": [{"stepId": "b", "taskId": "core.noop"}]},
        ]
    ),
    "unknown_target": _step(next=[{"nextStepId": "second"}]),
    "target_in_other_list": _step(
        next=[{"nextStepId": "inner"}],
        parallelBranches=[
            {"branchId": "left", "steps": [{"stepId": "inner", "taskId": "core.noop"}]}
        ],
    ),
    "unknown_core_task": {"steps": [{"stepId": "first", "taskId": "core.nop"}]},
    "unknown_task": {"steps": [{"stepId": "first", "taskId": "charge-crad"}]},
    "unregistered_task": {"steps": [{"stepId": "first", "taskId": "charge-card"}]},
    "invalid_schema": {"inputSchema": {"type": "objekt"}},
    "remote_schema_reference": {"inputSchema": {"$ref": "https://example.com/order.json"}},
    "invalid_expression": _choice("data.amount >", None),
    "invalid_template": _step(input={"amount": "${data.amount"}),
    "name_not_in_scope": _step(input={"amount": "${output.amount}"}),
    "unknown_step_reference": _step(input={"amount": "${steps.second.output.amount}"}),
    "hyphenated_step_reference": {
        "steps": [
            {"stepId": "charge-card", "taskId": "core.noop"},
            {"stepId": "last", "taskId": "core.noop", "input": "${steps.charge-card.output}"},
        ]
    },
    "condition_not_boolean": _choice("size(data.items)", None),
    "items_not_a_list": _step(forEach={"items": "orders"}),
    "document_retry": {"onFailure": {"action": "retry"}},
    "document_continue_without_target": {"onFailure": {"action": "continue"}},
    "ignored_next_step": {
        "steps": [
            {
                "stepId": "first",
                "taskId": "core.noop",
                "onFailure": {"action": "stop", "nextStepId": "last"},
            },
            {"stepId": "last", "taskId": "core.noop"},
        ]
    },
    "attempt_longer_than_step": _step(timeout="PT1M", attemptTimeout="PT2M"),
    "zero_timeout": _step(timeout="PT0S"),
    "invalid_task_input": _task("core.wait", duration="soon"),
    "missing_task_input": _task("core.http", method="GET"),
    "conflicting_task_input": _task("core.wait", duration="PT1M", until="2030-01-01T00:00:00Z"),
    "unknown_task_input": _task("core.approval", approver="ann@example.com"),
    "approvals_unreachable": _task(
        "core.approval", approvers=["ann@example.com"], approvalsRequired=2
    ),
    "input_does_not_fit": _task("charge-card", amount="five"),
    "workflow_cycle": {"workflowId": "order", **_task("core.workflow", workflowId="order")},
    "unregistered_workflow": _task("core.workflow", workflowId="billing"),
    "child_input_does_not_fit": _task(
        "core.workflow", workflowId="billing", input={"amount": "five"}
    ),
    "unreachable_step": _then(next=[]),
    "endless_loop": _step(next=[{"nextStepId": "first"}]),
    "falls_into_handler": _then(
        onFailure={"errorHandler": {"conditions": [{"errorType": "A", "nextStepId": "last"}]}}
    ),
    "shadowed_handler": _then(
        onFailure={
            "errorHandler": {
                "conditions": [{"nextStepId": "last"}, {"errorType": "A", "nextStepId": "last"}]
            }
        },
        next=[{"nextStepId": "last"}],
    ),
    "transitions_not_exhaustive": _choice("data.amount > 1000", "data.amount < 1000"),
    "transition_never_taken": _choice("data.amount > 1000", "data.amount > 2000", None),
    "impossible_field": _amount("input.amuont > 1000"),
    "undeclared_field": {
        "inputSchema": {"properties": {"amount": {"type": "number"}}},
        **_choice("input.amuont > 1000", None),
    },
    "step_not_run_before": _then(input={"status": "${steps.last.status}"}),
    "error_without_failure": _step(input={"reason": "${error.message}"}),
    "continue_without_output": {
        "steps": [
            {
                "stepId": "first",
                "taskId": "core.http",
                "input": {"url": "https://example.com"},
                "onFailure": {"action": "continue"},
                "next": [
                    {"nextStepId": "last", "condition": "output.status == 200"},
                    {"nextStepId": "last"},
                ],
            },
            {"stepId": "last", "taskId": "core.noop"},
        ]
    },
    "type_mismatch": _amount("input.amount > '1000'"),
    "doubtful_comparison": _amount("input.amount == '1000'"),
    "rollback_without_compensation": {"rollback": {"order": "parallel"}},
    "compensation_never_runs": {
        "rollback": {"on": []},
        **_step(compensation={"taskId": "core.noop"}),
    },
    "waiting_compensation": _step(compensation={"taskId": "core.approval"}),
    "path_too_long": _step(
        stepId="s" * 128,
        parallelBranches=[
            {"branchId": "b" * 128, "steps": [{"stepId": "inner", "taskId": "core.noop"}]}
        ],
    ),
    "invalid_event_pattern": {"triggers": [{"eventPattern": "order.**.paid"}]},
    "self_trigger": {"triggers": [{"eventPattern": "workflow.*"}]},
    "invalid_transform": {
        "triggers": [
            {
                "eventPattern": "order.paid",
                "transform": {"type": "jmespath", "expression": "data."},
            }
        ]
    },
}

#: The tasks that are known to an example, each with its input schema.
CATALOGUES: dict[str, dict[str, JsonObject | None]] = {
    "unknown_task": {"charge-card": None},
    "input_does_not_fit": {"charge-card": {"properties": {"amount": {"type": "number"}}}},
}

_CHARGE: JsonObject = {
    "taskId": "charge-card",
    "activity": "ChargeCard",
    "taskQueue": "payments",
    "attemptTimeout": "PT20S",
}

#: Catalogues of tasks that workers of other languages serve.
DECLARED: dict[str, JsonObject] = {
    "duplicate_task_id": {"tasks": [_CHARGE, {**_CHARGE, "activity": "ChargeCardAgain"}]},
    "reserved_task_id": {"tasks": [{**_CHARGE, "taskId": "core.charge"}]},
    "reserved_task_queue": {"tasks": [{**_CHARGE, "taskQueue": "/_sys/payments"}]},
    "unbounded_task": {
        "tasks": [{key: value for key, value in _CHARGE.items() if key != "attemptTimeout"}]
    },
}

_BILLING: JsonObject = {**BASE, "workflowId": "billing"}
#: The definitions that are registered in an example.
REGISTERED: dict[str, list[JsonObject]] = {
    "unregistered_workflow": [],
    "child_input_does_not_fit": [
        {**_BILLING, "inputSchema": {"properties": {"amount": {"type": "number"}}}}
    ],
}

#: Schemas with values that do not fit them.
VALUES: dict[str, ValueExample] = {
    "value_missing": ValueExample({"required": ["amount"]}, {}),
    "value_unknown": ValueExample({"additionalProperties": False}, {"amount": 1}),
    "value_wrong_type": ValueExample({"type": "object"}, []),
    "value_not_allowed": ValueExample({"enum": ["eur", "usd"]}, "gbp"),
    "value_out_of_range": ValueExample({"minimum": 1}, 0),
    "value_bad_format": ValueExample({"pattern": "^[a-z]+$"}, "A1"),
    "value_mismatch": ValueExample({"not": {"type": "number"}}, 1),
}
