"""Events start runs: which, with what, once, and what becomes of those that cannot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from adapters.postgres.configs import PostgresConfigStore
from definitions.deadletters import Message
from definitions.identity import inbound_event_id, org_id
from definitions.references import KEY
from steploom.operations.triggering import Dispatcher, retry
from tests.workflows.documents import definition, step
from tests.workflows.events import (
    as_message,
    cloud_event,
    dispatching,
    event_type,
    identity,
    on,
    triggered_by,
)
from tests.workflows.stack import DEFAULT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from steploom.operations.triggering import Handled, StartedByEvent
    from tests.workflows.stack import Stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dispatcher(stack: Stack) -> AsyncIterator[Dispatcher]:
    async with dispatching(stack) as made:
        yield made


async def send(dispatcher: Dispatcher, event: Any) -> Handled:
    return await dispatcher.handle(as_message(event), org="default")


async def result(stack: Stack, run: StartedByEvent) -> Any:
    return await stack.result(stack.client.get_workflow_handle(run.execution_id))


async def test_an_event_starts_a_run(stack: Stack, dispatcher: Dispatcher) -> None:
    """With the transform's result as its input; event, correlation and depth are on record."""
    kind = event_type()
    document = triggered_by(on(kind, "{amount: data.amount, by: source}"))
    await stack.register(document)
    event = cloud_event(kind, {"amount": 42, "card": "…"}, correlationid="order-7")
    handled = await send(dispatcher, event)
    [run] = handled.started
    assert (run.workflow_id, run.existing, handled.refused) == (document["workflowId"], False, [])
    assert await result(stack, run) == {"amount": 42, "by": "/shop"}
    instance = await stack.reader.find_instance(DEFAULT, run.execution_id)
    assert instance.trigger_event_id == identity(event)
    assert (instance.correlation_id, instance.channel) == ("order-7", "event")
    assert instance.metadata == {"causationDepth": 1}


async def test_a_disabled_channel_keeps_the_event(stack: Stack, dispatcher: Dispatcher) -> None:
    """No run begins only to fail: the event waits as a dead letter until the channel is enabled."""
    kind = event_type()
    stored = await stack.register(triggered_by(on(kind)))
    configs = PostgresConfigStore(stack.database)
    await configs.set_channel(DEFAULT, stored.definition_id, "web", enabled=False)
    handled = await send(dispatcher, cloud_event(kind, {"n": 1}))
    [letter] = handled.refused
    assert (handled.started, letter.code) == ([], "start_refused")
    assert "disabled" in letter.reason
    await configs.set_channel(DEFAULT, stored.definition_id, "web", enabled=True)
    kept = await dispatcher.letters.find(DEFAULT, str(letter.id))
    again, resolved = await retry(dispatcher, kept)
    assert resolved
    [run] = again.started
    assert await result(stack, run) == {"n": 1}


async def test_without_a_transform_the_data_is_the_input(
    stack: Stack, dispatcher: Dispatcher
) -> None:
    """As it is; where there is none, an empty object."""
    kind = event_type()
    await stack.register(triggered_by(on(kind)))
    for data, expected in (({"a": [1, {"b": None}]}, None), (None, {})):
        event = {**cloud_event(kind), "data": data}
        [run] = (await send(dispatcher, event)).started
        assert await result(stack, run) == (data if expected is None else expected)


async def test_the_envelope_of_workflow_events(stack: Stack, dispatcher: Dispatcher) -> None:
    """Its payload's data is the input; the trigger sees workflow and run."""
    name = f"etl-{uuid4().hex[:8]}"
    condition = f"event.workflow_id == '{name}' && event.metadata.environment == 'prod'"
    await stack.register(
        triggered_by(on("workflow.completed", "{run: workflow_run_id}", condition=condition))
    )
    event = {
        "event_id": "run 7",
        "event_type": "workflow.completed",
        "timestamp": "2025-01-27T10:00:00",
        "source": "airflow",
        "workflow_id": name,
        "workflow_run_id": "run_7",
        "payload": {"data": {"status": "success"}},
        "metadata": {"environment": "prod"},
    }
    handled = await send(dispatcher, event)
    [run] = handled.started
    assert await result(stack, run) == {"run": "run_7"}
    instance = await stack.reader.find_instance(DEFAULT, run.execution_id)
    assert instance.trigger_event_id == inbound_event_id("airflow", "run 7")
    event["metadata"] = {"environment": "dev"}
    assert (await send(dispatcher, {**event, "event_id": "run 8"})).started == []


async def test_the_same_event_twice_starts_it_once(stack: Stack, dispatcher: Dispatcher) -> None:
    """One after the other, at the same time, and with a later version between them."""
    kind = event_type()
    document = triggered_by(on(kind, "{v: `1`}"))
    await stack.register(document)
    event = cloud_event(kind)
    many = await asyncio.gather(*(send(dispatcher, event) for _ in range(5)))
    runs = [run for handled in many for run in handled.started]
    assert len(runs) == 5
    assert len({run.execution_id for run in runs}) == 1
    assert [run.existing for run in runs].count(False) == 1
    later = {**document, "version": "1.1.0", "triggers": [on(kind, "{v: `2`}")]}
    await stack.register(later)
    [again] = (await send(dispatcher, event)).started
    assert (again.execution_id, again.existing) == (runs[0].execution_id, True)
    assert await result(stack, again) == {"v": 1}
    [again] = (await send(dispatcher, event)).started
    assert (again.execution_id, again.existing, again.version) == (
        runs[0].execution_id,
        True,
        "1.0.0",
    )
    page = await stack.reader.list_instances(DEFAULT, workflow_id=document["workflowId"])
    assert len(page.items) == 1
    [other] = (await send(dispatcher, {**event, "id": str(uuid4())})).started
    assert await result(stack, other) == {"v": 2}


async def test_one_event_starts_several_and_what_fails_is_a_dead_letter(
    stack: Stack, dispatcher: Dispatcher
) -> None:
    """Two start, the third's transform fails; mended and retried, it starts; nothing twice."""
    kind = event_type()
    good = [triggered_by(on(kind)), triggered_by(on(kind.replace(".paid", ".*")))]
    bad = triggered_by(on("**", "abs(data.text)", condition=f"event.type == '{kind}'"))
    for document in (*good, bad):
        await stack.register(document)
    event = cloud_event(kind, {"text": "ten"})
    handled = await send(dispatcher, event)
    assert {run.workflow_id for run in handled.started} == {one["workflowId"] for one in good}
    [letter] = handled.refused
    assert (letter.workflow_id, letter.code) == (bad["workflowId"], "transform_failed")
    assert "abs" in letter.reason
    stored = await dispatcher.letters.find(DEFAULT, str(letter.id)[:13])
    assert stored.message == as_message(event).body

    again, resolved = await retry(dispatcher, stored)
    assert (resolved, again.started) == (False, [])
    assert (await dispatcher.letters.find(DEFAULT, str(letter.id))).attempts == 2

    mended = on("**", "{text: data.text}", condition=f"event.type == '{kind}'")
    await stack.register({**bad, "version": "1.0.1", "triggers": [mended]})
    again, resolved = await retry(dispatcher, stored)
    assert resolved
    [run] = again.started
    assert (run.workflow_id, run.version) == (bad["workflowId"], "1.0.1")
    assert await result(stack, run) == {"text": "ten"}
    assert str(letter.id) not in {str(one.id) for one in await dispatcher.letters.list(DEFAULT)}
    done = await dispatcher.letters.list(DEFAULT, resolved=True)
    assert str(letter.id) in {str(one.id) for one in done}


@pytest.mark.parametrize(
    ("trigger", "code", "reason"),
    [
        ({"condition": "event.data.missing > 1"}, "condition_failed", "missing"),
        ({"condition": "event.data.amount"}, "condition_failed", "not bool"),
        (on("", "data.amount"), "unusable_input", "the transform gives no object"),
        (
            {"transform": {"type": "jsonata", "expression": '$pad("x", 1e9)'}},
            "transform_failed",
            "the transform takes",
        ),
        (on("", "{amount: source}"), "unusable_input", "/amount: amount must be a number"),
        (on("", f'{{x: {{"{KEY}": source}}}}'), "unusable_input", f"the member {KEY} at /x"),
        (
            {"transform": {"type": "jsonata", "expression": '{"amount": $sum}'}},
            "transform_failed",
            "its result is a function",
        ),
    ],
)
async def test_why_a_definition_is_not_started(
    stack: Stack, dispatcher: Dispatcher, trigger: dict[str, Any], code: str, reason: str
) -> None:
    """The reason is in the letter."""
    kind = event_type()
    schema = {"type": "object", "properties": {"amount": {"type": "number"}}}
    await stack.register(triggered_by({**trigger, "eventPattern": kind}, inputSchema=schema))
    handled = await send(dispatcher, cloud_event(kind, {"amount": 1}))
    [letter] = handled.refused
    assert (handled.started, letter.code) == ([], code)
    assert reason in letter.reason


async def test_conditions_choose_among_triggers(stack: Stack, dispatcher: Dispatcher) -> None:
    """A definition is started by its first trigger that holds, or by none: once at most."""
    kind = event_type()
    await stack.register(
        triggered_by(
            on(kind, "{size: 'large'}", condition="event.data.amount > 100"),
            on("test.**", "{size: 'middle'}", condition=f"event.type == '{kind}'"),
        )
    )
    for amount, size in ((1000, "large"), (10, "middle")):
        [run] = (await send(dispatcher, cloud_event(kind, {"amount": amount}))).started
        assert await result(stack, run) == {"size": size}
    none = triggered_by(on(other := event_type(), condition="event.data.amount > 100"))
    await stack.register(none)
    handled = await send(dispatcher, cloud_event(other, {"amount": 1}))
    assert (handled.started, handled.refused) == ([], [])


async def test_only_the_highest_version_of_the_events_org_counts(
    stack: Stack, dispatcher: Dispatcher
) -> None:
    """Not an earlier version's trigger, and not another org's definition."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    await stack.register({**document, "version": "2.0.0", "triggers": []})
    assert (await send(dispatcher, cloud_event(kind))).started == []
    other = f"other-{uuid4().hex[:8]}"
    await stack.store.create_org(other)
    await stack.register(triggered_by(on(kind)))
    handled = await dispatcher.handle(as_message(cloud_event(kind), org_id=other), org="default")
    assert (handled.org, handled.started) == (other, [])


async def test_whose_event_it_is_has_to_be_known(stack: Stack, dispatcher: Dispatcher) -> None:
    """Without an org, or with an unknown one, it is nobody's letter until it is retried for one."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    for headers, code in (({}, "no_org"), ({"org_id": "nobody-knows"}, "unknown_org")):
        message = as_message(cloud_event(kind, {"n": 1}), **headers)
        [letter] = (await dispatcher.handle(message)).refused
        assert (letter.org_id, letter.code) == (None, code)
        mine = await dispatcher.letters.list(DEFAULT)
        assert letter.id not in {one.id for one in mine}
        stored = await dispatcher.letters.find(None, str(letter.id))
        handled, resolved = await retry(dispatcher, stored, org="default")
        assert resolved
        [run] = handled.started
        assert await result(stack, run) == {"n": 1}
        assert letter.id not in {one.id for one in await dispatcher.letters.list(None)}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no JSON", "invalid_json"),
        (b"", "invalid_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b"[" * 100 + b"]" * 100, "too_deep"),
        (b'"' + b"x" * (1024 * 1024) + b'"', "text_too_long"),
        (b"\xff", "invalid_utf8"),
        (b"[]", "not_an_event"),
        (b"{}", "not_an_event"),
        (b'{"specversion": "0.3", "id": "1", "source": "s", "type": "t"}', "invalid_event"),
    ],
)
async def test_what_is_no_event_is_a_letter(dispatcher: Dispatcher, body: bytes, code: str) -> None:
    """Of the org that it came for, with what came."""
    [letter] = (await dispatcher.handle(Message(body), org="default")).refused
    assert (letter.code, letter.org_id) == (code, org_id("default"))
    stored = await dispatcher.letters.find(DEFAULT, str(letter.id))
    assert stored.message == body
    _, resolved = await retry(dispatcher, stored)
    assert not resolved


async def test_a_letter_has_no_header_that_is_a_secret(dispatcher: Dispatcher) -> None:
    """By its name; what the message itself says is kept, so that it can be handled again."""
    message = Message(b"?", {"Authorization": "Bearer pl4nted", "x-trace": "t"})
    [letter] = (await dispatcher.handle(message, org="default")).refused
    stored = await dispatcher.letters.find(DEFAULT, str(letter.id))
    assert stored.headers == {"Authorization": "[redacted]", "x-trace": "t"}
    assert stored.message == b"?"


async def test_runs_that_start_one_another_come_to_an_end(
    stack: Stack, dispatcher: Dispatcher
) -> None:
    """The event of a run's child is one further than the run; the tenth run starts nothing."""
    kind = event_type()
    child = definition(step("tell", "core.publish", input={"type": kind}))
    await stack.register(child)
    parent = definition(
        step("tell", "core.workflow", input={"workflowId": child["workflowId"]}),
        triggers=[on(kind)],
    )
    await stack.register(parent)
    handled = await send(dispatcher, cloud_event(kind))
    depths = []
    while handled.started:
        [run] = handled.started
        await result(stack, run)
        instance = await stack.reader.find_instance(DEFAULT, run.execution_id)
        depths.append(instance.metadata["causationDepth"])
        [of_child] = (await stack.reader.list_instances(DEFAULT, came_from=instance.id)).items
        told = await stack.reader.outbox(DEFAULT, of_child.id)
        [event] = [one for one in told if one.event_type == kind]
        handled = await send(dispatcher, event.envelope)
    assert depths == list(range(1, 11))
    [letter] = handled.refused
    assert letter.code == "causation_too_deep"
