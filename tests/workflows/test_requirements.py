"""What operators say of the fields of steps, in the table: defaults, and rules for values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import as_administrator
from tests.workflows.documents import definition, step
from tests.workflows.stack import DEFAULT
from tests.workflows.tasks import gate

if TYPE_CHECKING:
    from definitions.ports import StoredVersion
    from tests.workflows.stack import Stack


def say(
    stack: Stack, version: StoredVersion, step_id: str, field: str, io: str = "input", **said: Any
) -> None:
    """Says something of a field, as an operator does: changes its row, or adds one."""
    values = {
        name: json.dumps(value) if name in {"default_value", "validation_rules"} else value
        for name, value in said.items()
    }
    names = list(values)
    as_administrator(
        stack.url,
        f"INSERT INTO node_io_requirements (org_id, node_id, io_type, field_name,"  # noqa: S608 (a test's own names)
        f" {', '.join(names)}) SELECT org_id, id, %s, %s, {', '.join(['%s'] * len(names))}"
        " FROM workflow_nodes WHERE definition_version_id = %s AND step_id = %s AND org_id = %s"
        f" ON CONFLICT (node_id, io_type, field_name) DO UPDATE SET"
        f" {', '.join(f'{name} = excluded.{name}' for name in names)}",
        io,
        field,
        *values.values(),
        version.version_id,
        step_id,
        DEFAULT,
    )


async def test_a_default_fills_what_a_step_lacks(stack: Stack) -> None:
    """What is given stays; the record has what the task was given."""
    version = await stack.register(definition(step("a", "test.echo")))
    say(stack, version, "a", "currency", default_value="EUR")
    say(stack, version, "a", "limit", default_value={"day": 5})
    result, record = await stack.run(version.workflow_id, {"currency": "CHF"})
    assert result == {"currency": "CHF", "limit": {"day": 5}}
    assert record.step("a").input == result


async def test_a_rule_is_the_tasks_validation_error(stack: Stack) -> None:
    """With every violation; the task is not run, and not tried again."""
    version = await stack.register(definition(step("a", "test.echo")))
    say(stack, version, "a", "amount", data_type="number", validation_rules={"maximum": 9})
    say(stack, version, "a", "who", is_required=True)
    error, record = await stack.run_failing(version.workflow_id, {"amount": 10})
    assert error.type == "ValidationError"
    assert "amount must be at most 9" in error.message
    details = error.details[0]["details"]
    assert sorted(one["pointer"] for one in details) == ["", "/amount"]
    assert record.attempts("a") == []
    assert (record.step("a").status, record.step("a").error is not None) == ("failed", True)
    assert await stack.run(version.workflow_id, {"amount": 9, "who": "ann"})


async def test_what_the_task_itself_says_stays_the_tasks(stack: Stack) -> None:
    """A changed row adds to the task's schema, and survives that being described again."""
    document = definition(step("a", "test.quote"))
    version = await stack.register(document)
    await stack.run(version.workflow_id, {"amount": 900})
    say(stack, version, "a", "amount", validation_rules={"maximum": 500})
    say(stack, version, "a", "currency", default_value="CHF")
    async with stack.worker() as another:
        handle = await another.start(version.workflow_id, {"amount": 900})
        assert "at most 500" in (await stack.failure(handle)).message
        handle = await another.start(version.workflow_id, {"amount": 400})
        assert (await stack.result(handle))["currency"] == "CHF"
    rows = as_administrator(
        stack.url,
        "SELECT i.field_name, i.default_value, i.validation_rules FROM node_io_requirements AS i"
        " JOIN workflow_nodes AS n ON n.id = i.node_id"
        " WHERE n.definition_version_id = %s AND i.io_type = 'input' ORDER BY i.field_name",
        version.version_id,
    )
    assert [(row["field_name"], row["default_value"]) for row in rows] == [
        ("amount", None),
        ("currency", "CHF"),
    ]
    assert rows[0]["validation_rules"] == {"maximum": 500}


async def test_what_a_task_gives_is_held_to_it_too(stack: Stack) -> None:
    """Before anybody sees it: the step is the one that fails, and its attempt did well."""
    version = await stack.register(definition(step("a", "test.echo"), step("b", "test.echo")))
    say(stack, version, "a", "note", io="output", default_value="-")
    say(stack, version, "a", "total", io="output", is_required=True)
    result, record = await stack.run(version.workflow_id, {"total": 3})
    assert result == {"total": 3, "note": "-"}
    assert record.step("a").output == result
    error, record = await stack.run_failing(version.workflow_id, {"n": 3})
    assert error.type == "ValidationError"
    assert record.statuses() == [("a", "failed")]
    assert record.attempt_statuses("a") == ["completed"]


async def test_each_item_of_a_step_is_held_to_it(stack: Stack) -> None:
    """By itself, as far as the step tolerates failures."""
    each = {"items": "${input.items}", "toleratedFailures": 1}
    version = await stack.register(
        definition(step("a", "test.echo", forEach=each, input={"n": "${item}"}))
    )
    say(stack, version, "a", "n", validation_rules={"maximum": 5})
    say(stack, version, "a", "kind", io="output", default_value="item")
    result, record = await stack.run(version.workflow_id, {"items": [1, 9]})
    assert result == {"value": [{"n": 1, "kind": "item"}, None]}
    assert (record.step("a#0").status, record.step("a#1").status) == ("completed", "failed")
    assert record.step("a#0").output == {"n": 1, "kind": "item"}


async def test_tasks_without_an_activity_are_held_to_it(stack: Stack) -> None:
    """Those that the interpreter does by itself."""
    version = await stack.register(
        definition(step("a", "core.set", input={"n": 1}), output="${variables}")
    )
    say(stack, version, "a", "m", default_value=2)
    assert (await stack.run(version.workflow_id))[0] == {"n": 1, "m": 2}


async def test_a_run_stays_with_the_rules_it_began_with(stack: Stack) -> None:
    """Also when it continues as a new one."""
    document = definition(
        step("wait", "test.gate", input={"gate": "rules"}, output="${input}"),
        step("a", "test.echo"),
        step("b", "test.echo"),
    )
    version = await stack.register(document)
    say(stack, version, "b", "n", default_value=1)
    async with stack.worker(history_limit=1) as hasty:
        handle = await hasty.start(version.workflow_id)
        await gate("rules").entered.wait()
        say(stack, version, "b", "n", default_value=2)
        gate("rules").open.set()
        assert await stack.result(handle) == {"n": 1}


@pytest.mark.parametrize("rules", [{"minimum": "x"}, {"pattern": "("}, {"$ref": "http://x.test"}])
async def test_rules_that_are_none_refuse_the_run(stack: Stack, rules: dict[str, Any]) -> None:
    """Before its first step, with a sentence."""
    version = await stack.register(definition(step("a", "test.echo")))
    say(stack, version, "a", "n", validation_rules=rules)
    error, record = await stack.run_failing(version.workflow_id)
    assert (error.type, record.steps) == ("InputError", [])
    assert "the requirements of the workflow's nodes cannot be used" in error.message


async def test_whatever_stands_in_a_row_a_run_begins_or_says_why_not(stack: Stack) -> None:
    """Also where somebody has overwritten what the schemas say."""
    version = await stack.register(definition(step("a", "test.echo")))
    for said in ([1], "text", {"required": "maybe", "rules": 7, "type": [1]}, {"default": None}):
        say(stack, version, "a", "n", described=json.dumps(said), validation_rules=[1])
        assert (await stack.run(version.workflow_id, {"n": 1}))[0] == {"n": 1}
    say(stack, version, "a", "n", data_type="no such type")
    error, _ = await stack.run_failing(version.workflow_id, {"n": 1})
    assert error.type == "InputError"
