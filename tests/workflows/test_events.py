"""Events: what a run is sent by a signal, before it waits for it, while it does, or never."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from adapters.temporal.binary import find_or_install_temporal
from definitions.names import SIGNAL_EVENT, UPDATE_SKIP, WORKFLOW_TYPE
from tests.workflows.documents import branch, definition, step
from tests.workflows.stack import DEFAULT, Stack, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.views import ActionView
    from tests.workflows.stack import Handle


def event(step_id: str, name: str, **fields: Any) -> dict[str, Any]:
    """A step that waits for an event."""
    return step(step_id, "core.event", input={"name": name}, **fields)


async def send(handle: Handle, name: str, data: Any = None, **fields: Any) -> None:
    """Sends an event."""
    message = {"name": name, "data": {} if data is None else data, **fields}
    await handle.signal(SIGNAL_EVENT, message)


async def events(stack: Stack, handle: Handle) -> Sequence[ActionView]:
    """The events that a run has on record."""
    record = await stack.record(handle)
    actions = await stack.reader.actions(DEFAULT, record.instance.id)
    return [one for one in actions if one.action == "event"]


async def late_queue(stack: Stack) -> tuple[Stack, str]:
    """A stack whose task queue no worker serves yet."""
    queue = f"late-{uuid4().hex[:8]}"
    return Stack(stack.client, stack.database, stack.url, queue), queue


async def test_an_event_goes_to_the_step_that_waits_for_it(stack: Stack) -> None:
    """The step says what it waits for; the event's data is its output; the signal is on record."""
    handle = await stack.start(definition(event("paid", "payment.settled"), step("z")))
    record = await stack.waits(handle, "paid")
    assert record.step("paid").waiting_for == {"event": "payment.settled"}
    await send(handle, "payment.settled", {"amount": 3}, id="e-1")
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.step("paid").output == {"amount": 3}
    (only,) = await events(stack, handle)
    assert only.data == {"name": "payment.settled", "reception": "taken", "id": "e-1"}


async def test_temporals_own_command_line_can_send_one(stack: Stack) -> None:
    """``temporal workflow signal --name event --input '{"name": …}'``."""
    handle = await stack.start(definition(event("e", "cli")))
    await stack.waits(handle, "e")
    binary = await asyncio.to_thread(find_or_install_temporal, lambda _: None)
    command = [
        *(str(binary), "workflow", "signal", "--workflow-id", handle.id, "--name", SIGNAL_EVENT),
        *("--input", json.dumps({"name": "cli", "data": {"x": [1, "ä"]}})),
        *("--address", stack.client.service_client.config.target_host),
    ]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    assert await stack.result(handle) == {"x": [1, "ä"]}


async def test_events_that_come_before_the_first_workflow_task_are_kept(stack: Stack) -> None:
    """The run does not even know its definition yet; none is lost, and their order is kept."""
    late, queue = await late_queue(stack)
    handle = await late.start(
        definition(
            *(event(f"e{number}", "n") for number in range(5)),
            output=[f"${{steps.e{number}.output.n}}" for number in range(5)],
        )
    )
    for number in range(5):
        await send(handle, "n", {"n": number})
    async with stack.worker(task_queue=queue):
        assert await stack.result(handle) == [0, 1, 2, 3, 4]
    assert [one.data["reception"] for one in await events(stack, handle)] == ["kept"] * 5


async def test_a_run_can_be_started_with_its_first_event(stack: Stack) -> None:
    """Signal-with-start."""
    document = definition(event("e", "n"))
    handle = await stack.client.start_workflow(
        WORKFLOW_TYPE,
        {"definition": document},
        id=f"x-{uuid4().hex}",
        task_queue=stack.task_queue,
        start_signal=SIGNAL_EVENT,
        start_signal_args=[{"name": "n", "data": {"first": True}}],
    )
    assert await stack.result(handle) == {"first": True}


def raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    """A payload as it is."""
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))


MALFORMED: dict[str, list[Any]] = {
    "nothing": [],
    "null": [None],
    "two arguments": [{"name": "n"}, {"name": "n"}],
    "three arguments of any kind": [raw(b"\xff", b"x"), 1, raw(b"{")],
    "a text": ["n"],
    "a list": [[{"name": "n"}]],
    "no name": [{"data": {}}],
    "an empty name": [{"name": ""}],
    "a name that is no text": [{"name": 7}],
    "a name that is too long": [{"name": "n" * 256}],
    "an unknown field": [{"name": "n", "date": {}}],
    "an id that is no text": [{"name": "n", "id": 7}],
    "bytes": [b"\x00\x01"],
    "no JSON": [raw(b"{")],
    "no UTF-8": [raw(b'"\xff"')],
    "an unknown encoding": [raw(b"{}", b"binary/nonsense")],
    "half a surrogate": [raw(b'{"name": "\\ud800"}')],
    "a zero character": [raw(b'{"name": "a\\u0000b", "data": "\\u0000", "id": "\\u0000"}')],
    "a number that is none": [raw(b'{"name": "n", "data": NaN}')],
    "a number that is too big": [raw(b'{"name": "n", "data": 1e999}')],
    "a key twice": [raw(b'{"name": "x", "name": "n"}')],
    "deeper than anybody reads": [raw(b"[" * 5000 + b"]" * 5000)],
}


async def test_events_that_are_unusable_break_nothing(stack: Stack) -> None:
    """Nobody can be told, so they are left out; the run waits on, and takes the next good one."""
    handle = await stack.start(definition(event("e", "n")))
    await stack.waits(handle, "e")
    for arguments in MALFORMED.values():
        await handle.signal(SIGNAL_EVENT, args=arguments)
    await handle.signal("nonsense", {"name": "n"})
    await handle.signal("nonsense")
    await send(handle, "n", {"good": True})
    assert await stack.result(handle) == {"good": True}


async def test_unusable_events_before_the_first_workflow_task_break_nothing(stack: Stack) -> None:
    """The same when nothing is set up yet."""
    late, queue = await late_queue(stack)
    handle = await late.start(definition(event("e", "n")))
    for arguments in MALFORMED.values():
        await handle.signal(SIGNAL_EVENT, args=arguments)
    await send(handle, "n", {"good": True})
    async with stack.worker(task_queue=queue):
        assert await stack.result(handle) == {"good": True}


async def test_a_flooded_run_loses_nothing(stack: Stack) -> None:
    """A run that only waits continues as a new one; every event is kept, in order, once.

    The approval that waits meanwhile takes its decision afterwards.
    """
    count = 300
    async with stack.worker(history_limit=40) as short:
        handle = await short.start(
            definition(
                step("ask", "core.approval"),
                event("e", "n"),
                step(
                    "add",
                    "core.set",
                    input={"seen": "${variables.seen + [data.n]}"},
                    next=[
                        {"nextStepId": "e", "condition": f"size(variables.seen) < {count}"},
                        {"nextStepId": "z"},
                    ],
                ),
                step("z", "test.echo", input="${variables.seen}"),
                variables={"seen": []},
            )
        )
        await short.waits(handle, "ask")
        for number in range(count):
            await send(handle, "n", {"n": number}, id=f"id-{number}")
            if number % 50 == 0:
                await send(handle, "n", {"n": -1}, id=f"id-{number}")
        await short.decide(handle, "ask")
        assert await short.result(handle) == {"value": list(range(count))}
        history = await short.client.get_workflow_handle(handle.id).fetch_history()
        begun = history.events[0].workflow_execution_started_event_attributes
        assert begun.continued_execution_run_id
        recorded = await events(short, handle)
        assert [one.data["id"] for one in recorded] == [f"id-{n}" for n in range(count)]


async def test_a_run_takes_as_many_signals_as_temporal_allows(stack: Stack) -> None:
    """Thousands before a worker comes: no workflow task takes so long that it is given up."""
    late, queue = await late_queue(stack)
    handle = await late.start(
        definition(*(step(f"s{n}") for n in range(50)), event("e", "last"), event("f", "n-2999"))
    )
    for start in range(0, 3000, 100):
        await asyncio.gather(
            *(send(handle, f"n-{n}", {"n": n}, id=f"{n}") for n in range(start, start + 100))
        )
    await send(handle, "last")
    async with stack.worker(task_queue=queue):
        assert await stack.result(handle) == {"n": 2999}
    assert len(await events(stack, handle)) == 3001
    history = await stack.client.get_workflow_handle(handle.id).fetch_history()
    assert not [
        one for one in history.events if one.HasField("workflow_task_failed_event_attributes")
    ]


async def test_what_is_kept_has_a_bound(stack: Stack) -> None:
    """Too big, or too much together: refused, and that is on record."""
    handle = await stack.start(definition(step("ask", "core.approval"), event("e", "n")))
    await stack.waits(handle, "ask")
    await send(handle, "n", "x" * 300_000)
    for number in range(6):
        await send(handle, "n", {"n": number, "text": "x" * 60_000})
    await stack.decide(handle, "ask")
    assert (await stack.result(handle))["n"] == 0
    receptions = [one.data["reception"] for one in await events(stack, handle)]
    assert receptions == ["refused", "kept", "kept", "kept", "kept", "refused", "refused"]


async def test_two_steps_that_wait_for_one_name(stack: Stack) -> None:
    """The one that has waited longest comes first, also after the run has continued."""
    for limit in (3000, 1):
        async with stack.worker(history_limit=limit) as served:
            handle = await served.start(
                definition(
                    step(
                        "fork",
                        parallelBranches=[
                            branch("late", step("ask", "core.approval"), event("l", "n")),
                            branch("early", event("e", "n")),
                        ],
                    )
                )
            )
            await served.waits(handle, "fork/early/e")

            async def approved(of: Handle = handle, by: Stack = served) -> bool:
                try:
                    await by.decide(of, "ask")
                except Exception:  # noqa: BLE001 (between two runs of the chain nobody waits)
                    return False
                return True

            await until(approved)
            await served.waits(handle, "fork/late/l")
            await send(handle, "n", {"n": 1})
            await send(handle, "n", {"n": 2})
            assert await served.result(handle) == {"late": {"n": 2}, "early": {"n": 1}}


async def test_a_skip_gives_the_event_to_the_next_step(stack: Stack) -> None:
    """Sent in the same moment: whichever comes first, the event is not lost."""
    document = definition(event("a", "n"), event("b", "n", timeout="PT30S"))
    for first in (True, False):
        late, queue = await late_queue(stack)
        async with stack.worker(task_queue=queue):
            handle = await late.start(document)
            await late.waits(handle, "a")
        # Both come in one workflow task, because no worker is there.
        skipping = asyncio.create_task(_skip_later(handle, wait=first))
        if not first:
            await asyncio.sleep(0.5)
        await send(handle, "n", {"n": 1})
        async with stack.worker(task_queue=queue):
            await skipping
            await send(handle, "n", {"n": 2})
            result = await stack.result(handle)
        record = await stack.record(handle)
        taken = {record.step("a").status: result["n"]}
        assert taken in ({"skipped": 1}, {"completed": 2}), taken


async def _skip_later(handle: Handle, *, wait: bool) -> None:
    if wait:
        await asyncio.sleep(0.5)
    try:
        await handle.execute_update(UPDATE_SKIP, {"stepId": "a"})
    except Exception as error:  # noqa: BLE001 (it was too late)
        assert "a" in str(error)  # noqa: PT017


@pytest.mark.parametrize("mode", [{}, {"max_cached_workflows": 0}], ids=["cached", "uncached"])
async def test_an_event_in_the_middle_of_a_write(stack: Stack, mode: dict[str, Any]) -> None:
    """However soon it comes after the step began to wait, it is taken."""
    async with stack.worker(**mode) as served:
        for number in range(4):
            handle = await served.start(definition(event("e", "n")))
            await asyncio.sleep(0.05 * number)
            await send(handle, "n", {"n": number})
            assert await served.result(handle) == {"n": number}
