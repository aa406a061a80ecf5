"""A definition runs in order, and everything that it did is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from definitions.canonical import content_hash
from definitions.identity import event_id, instance_id, step_record_id
from tests.postgres import as_administrator
from tests.workflows.documents import definition, retry, step
from tests.workflows.stack import DEFAULT, Stack
from tests.workflows.tasks import REMEMBERED

if TYPE_CHECKING:
    from tests.workflows.stack import Record


async def test_steps_run_in_order_and_the_last_output_is_the_result(stack: Stack) -> None:
    """Each step sees what the steps before it have put into ``data``."""
    result, record = await stack.run(
        definition(
            step("first", "test.echo", input={"a": "${data.seed + 1}"}),
            step("second", "test.echo", input={"b": "${data.a + 1}"}),
            step("third", "test.echo", input={"c": "${data.b + data.a}", "text": "a=${data.a}"}),
        ),
        {"seed": 1},
    )
    assert result == {"c": 5, "text": "a=2"}
    assert record.statuses() == [
        ("first", "completed"),
        ("second", "completed"),
        ("third", "completed"),
    ]


async def test_the_run_itself_is_on_record(stack: Stack) -> None:
    """The instance row says what ran, with what, for whom, and how it ended."""
    document = definition(
        step("only", "test.echo", input={"x": 1}),
        variables={"v": 7},
        output={"answer": "${data.x + int(variables.v)}"},
    )
    handle = await stack.start(
        document,
        {"n": 5},
        correlationId="corr-1",
        channel="web",
        externalId="ext-1",
        userId="bob",
        idempotencyKey=f"key-{document['workflowId']}",
        metadata={"k": [1]},
        tags={"team": "blue"},
    )
    assert await stack.result(handle) == {"answer": 8}
    instance = (await stack.record(handle)).instance

    assert instance.execution_id == handle.id
    assert instance.first_run_id == handle.result_run_id
    assert instance.id == instance_id(instance.first_run_id)
    assert (instance.workflow_id, instance.version) == (document["workflowId"], "1.0.0")
    assert instance.content_hash == content_hash(document)
    assert instance.workflow_definition_id is not None
    assert instance.definition_version_id is not None
    assert instance.status == "completed"
    assert instance.input == {"n": 5}
    assert instance.output == {"answer": 8}
    assert instance.error is None
    assert instance.current_step_id == "only"
    assert instance.state is not None
    assert instance.state["input"] == {"n": 5}
    assert instance.state["variables"] == {"v": 7}
    assert instance.state["steps"]["only"]["status"] == "completed"
    assert instance.state["steps"]["only"]["output"] == {"x": 1}
    assert (instance.correlation_id, instance.channel) == ("corr-1", "web")
    assert (instance.external_id, instance.user_id) == ("ext-1", "bob")
    assert instance.metadata == {"k": [1]}
    assert instance.tags == {"team": "blue"}
    assert instance.interpreter_version == 1
    assert instance.completed_at is not None
    assert instance.started_at <= instance.updated_at <= instance.completed_at
    found = await stack.reader.find_by_idempotency_key(DEFAULT, f"key-{document['workflowId']}")
    assert found is not None
    assert found.id == instance.id


async def test_each_step_is_on_record_once_with_all_that_is_known_of_it(stack: Stack) -> None:
    """Input, output, times, attempts, worker and a deterministic id, remote and inline alike."""
    handle = await stack.start(
        definition(
            step("remote", "test.echo", name="The remote one", input={"x": 1}),
            step("local", "test.echo-local", input={"y": 2}),
            step("inline", "core.set", input={"z": 3}),
            step("mapped", "test.echo", input={"q": 4}, output={"w": "${output.q * 2}"}),
        )
    )
    await stack.result(handle)
    record = await stack.record(handle)

    assert [one.path for one in record.steps] == ["remote", "local", "inline", "mapped"]
    for one in record.steps:
        assert one.id == step_record_id(record.instance.id, one.path, 1)
        assert one.iteration == 1
        assert one.step_id == one.path
        assert one.status == "completed"
        assert one.error is None
        assert one.started_at is not None
        assert one.completed_at is not None
        assert one.started_at <= one.completed_at
        assert one.decision is not None
    assert record.step("remote").name == "The remote one"
    assert [one.task_id for one in record.steps] == [
        "test.echo",
        "test.echo-local",
        "core.set",
        "test.echo",
    ]
    assert [one.input for one in record.steps] == [{"x": 1}, {"y": 2}, {"z": 3}, {"q": 4}]
    assert [one.output for one in record.steps] == [{"x": 1}, {"y": 2}, {}, {"w": 8}]
    assert [one.decision.kind for one in record.steps if one.decision] == [
        "sequence",
        "sequence",
        "sequence",
        "end",
    ]
    for path in ("remote", "local", "mapped"):
        (attempt,) = record.attempts(path)
        assert attempt.status == "completed"
        assert attempt.attempt == 1
        assert attempt.worker
        assert attempt.started_at is not None
        assert attempt.completed_at is not None
    assert record.attempts("mapped")[0].output == {"q": 4}
    assert record.attempts("inline") == []


async def test_a_decision_is_on_record_with_the_values_that_it_read(stack: Stack) -> None:
    """Every condition that was asked, what it read, and what came out."""
    document = definition(
        step(
            "look",
            "test.echo",
            input={"amount": "${data.amount}"},
            next=[
                {"nextStepId": "huge", "condition": "data.amount > 10000"},
                {"nextStepId": "big", "condition": "data.amount > 1000 && input.kind == 'card'"},
                {"nextStepId": "small"},
            ],
        ),
        step("huge", next=[]),
        step("big", next=[]),
        step("small", next=[]),
    )
    _, record = await stack.run(document, {"amount": 1500, "kind": "card"})

    assert record.statuses() == [("look", "completed"), ("big", "completed")]
    decision = record.step("look").decision
    assert decision is not None
    assert (decision.kind, decision.target) == ("condition", "big")
    first, second = decision.evaluated
    assert (first.expression, first.values, first.result) == (
        "data.amount > 10000",
        {"data.amount": 1500},
        False,
    )
    assert second.values == {"data.amount": 1500, "input.kind": "card"}
    assert second.result is True
    end = record.step("big").decision
    assert end is not None
    assert end.kind == "end"


async def test_a_loop_has_a_record_for_each_iteration(stack: Stack) -> None:
    """``next`` may lead back; ``steps`` shows the latest iteration, the record all of them."""
    document = definition(
        step("count", "core.set", input={"n": "${variables.n + 1}"}),
        step(
            "work",
            "test.echo",
            input={"round": "${variables.n}"},
            next=[{"nextStepId": "count", "condition": "variables.n < 3"}, {"nextStepId": "done"}],
        ),
        step("done", "test.echo", input={"last": "${steps.work.output.round}"}),
        variables={"n": 0},
    )
    result, record = await stack.run(document)

    assert result == {"last": 3}
    assert [(one.path, one.iteration) for one in record.steps] == [
        ("count", 1),
        ("work", 1),
        ("count", 2),
        ("work", 2),
        ("count", 3),
        ("work", 3),
        ("done", 1),
    ]
    rounds = [record.step("work", n).output for n in (1, 2, 3)]
    assert rounds == [{"round": 1}, {"round": 2}, {"round": 3}]


@pytest.mark.parametrize(
    "task_id", ["test.echo", "test.echo-local", "test.echo-sync"], ids=["async", "local", "sync"]
)
@pytest.mark.parametrize("value", [{"a": [1, "x", None, 1.5]}, [1, 2], "text", 0, False, None])
async def test_any_json_value_goes_in_and_out(stack: Stack, task_id: str, value: object) -> None:
    """What is no object is stored under ``value``; the task itself sees it as it is."""
    document = definition(step("only", task_id, input=value), output="${data}")
    result, record = await stack.run(document)

    stored = value if isinstance(value, dict) else {"value": value}
    assert record.step("only").output == stored
    assert record.attempts("only")[0].output == value
    assert result == (value if isinstance(value, dict) else {})


@pytest.mark.parametrize("task_id", ["test.quote", "test.quote-local"])
async def test_pydantic_models_go_in_and_out(stack: Stack, task_id: str) -> None:
    """A task's input is validated into its model, its output model becomes plain JSON."""
    document = definition(step("quote", task_id, input={"amount": "${data.amount}"}))
    result, _ = await stack.run(document, {"amount": 10})
    assert result == {"total": 12.0, "currency": "EUR"}


async def test_a_task_may_take_nothing_and_give_nothing(stack: Stack) -> None:
    """Its stored output is ``{"value": null}``."""
    result, record = await stack.run(definition(step("only", "test.nothing")), {"x": 1})
    assert result == {"value": None}
    assert record.step("only").status == "completed"


async def test_a_task_knows_where_it_runs(stack: Stack) -> None:
    """The context names the run, the step and the attempt."""
    document = definition(step("only", "test.context"))
    handle = await stack.start(document)
    result = await stack.result(handle)
    assert result == {
        "executionId": handle.id,
        "workflowId": document["workflowId"],
        "workflowVersion": "1.0.0",
        "stepId": "only",
        "stepPath": "only",
        "iteration": 1,
        "attempt": 1,
        "idempotencyKey": f"{handle.result_run_id}:only:1",
    }


async def test_the_idempotency_key_is_the_same_on_each_attempt(stack: Stack) -> None:
    """And names the run, the step's path and its iteration."""
    handle = await stack.start(
        definition(
            step("charge", "test.remember", input={"times": 2, "then": {}}, retryPolicy=retry(3))
        )
    )
    await stack.result(handle)
    key = f"{handle.result_run_id}:charge:1"
    assert REMEMBERED[handle.id] == [(1, key), (2, key), (3, key)]


async def test_a_run_leaves_its_audit_events(stack: Stack) -> None:
    """``workflow.started`` and ``workflow.completed``, in the schema's exact shape."""
    document = definition(step("one", "test.echo"), step("two", name="Second"))
    handle = await stack.start(document)
    await stack.result(handle)
    record = await stack.record(handle)

    assert [one.event_type for one in record.events] == ["workflow.started", "workflow.completed"]
    for one in record.events:
        assert one.event_id == event_id(DEFAULT, record.instance.first_run_id, one.event_type)
        assert one.instance_id == record.instance.id
        assert one.event_data["version"] == "1.0"
        assert one.event_data["service"] == "workflow"
        assert one.event_data["event_type"] == one.event_type
    assert record.event("workflow.started") == {
        "workflow_id": document["workflowId"],
        "execution_id": handle.id,
        "phase": "executing",
        "total_steps": 2,
        "approval_required": False,
    }
    completed = record.event("workflow.completed")
    assert completed.pop("duration_ms") >= 0
    assert completed == {
        "workflow_id": document["workflowId"],
        "execution_id": handle.id,
        "phase": "completed",
        "current_step": 2,
        "total_steps": 2,
        "step_name": "Second",
        "outcome": "success",
        "approval_required": False,
    }


async def test_a_definition_without_any_task_runs_on_its_own(stack: Stack) -> None:
    """The inline tasks cost no activity, and are on record all the same."""
    document = definition(
        step("set", "core.set", input={"greeting": "hello ${input.who}"}),
        step("noop", output={"said": "${variables.greeting}"}),
    )
    handle = await stack.start(document, {"who": "ann"})
    assert await stack.result(handle) == {"said": "hello ann"}
    history = await handle.fetch_history()
    assert not any(
        event.HasField("activity_task_scheduled_event_attributes") for event in history.events
    )
    record: Record = await stack.record(handle)
    assert record.statuses() == [("set", "completed"), ("noop", "completed")]


@pytest.mark.parametrize("task", ["test.unstorable", "test.unstorable-typed"])
@pytest.mark.parametrize(
    ("which", "kept"),
    [
        ("zero", {"text": "a\ufffdb"}),
        ("surrogate", {"text": "a\ufffdb"}),
        ("nan", {"number": "NaN"}),
        ("infinity", {"numbers": ["Infinity", "-Infinity", 1.5]}),
        ("huge", {"number": "Infinity"}),
        ("key", {"a\ufffd": {"b\ufffd": 1}}),
    ],
)
async def test_what_postgres_cannot_keep_does_not_cost_the_record(
    stack: Stack, task: str, which: str, kept: dict[str, Any]
) -> None:
    """It is replaced and flagged, and the run sees what the record says."""
    result, record = await stack.run(definition(step("odd", task, input={"which": which})))
    assert result == kept
    assert record.step("odd").output == kept
    assert record.attempt_statuses("odd") == ["completed"]
    flags = as_administrator(
        stack.url,
        "SELECT e.path, e.iteration, e.attempt, s.path AS of FROM workflow_events AS e"
        " JOIN workflow_instances AS i ON i.trace_id = e.trace_id"
        " JOIN workflow_steps AS s ON s.id = e.step_id"
        " WHERE i.id = %s AND e.event_type = 'output.replaced'",
        record.instance.id,
    )
    assert flags == [{"path": "odd", "iteration": 1, "attempt": 1, "of": "odd"}]


async def test_values_keep_all_their_digits(stack: Stack) -> None:
    """2^53+1 comes back exactly, from the result as from the record."""
    big = 2**53 + 1
    result, record = await stack.run(definition(step("only", "test.echo")), {"n": big})
    assert result == {"n": big}
    assert record.step("only").output == {"n": big}
