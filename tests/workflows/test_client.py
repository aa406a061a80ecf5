"""The client, with a database and without: both see the same executions, and say the same."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from definitions.references import KEY
from steploom import (
    AsyncClient,
    Client,
    ClientClosedError,
    ConflictError,
    ExecutionCancelledError,
    ExecutionFailedError,
    ExecutionTerminatedError,
    ExecutionTimedOutError,
    InvalidDocumentError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    SteploomError,
    UnreachableError,
    WaitTimeoutError,
)
from tests.workflows.documents import definition, step
from tests.workflows.stack import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from steploom import AsyncExecution, Change
    from tests.workflows.stack import Stack

APPROVAL = definition(
    step("ask", "core.approval", input={"title": "Really?"}),
    step("note", "core.set", input={"by": "${data.approver}"}),
    output={"approver": "${data.approver}", "amount": "${input.amount}"},
    inputSchema={"type": "object", "required": ["amount"]},
)
FAILING = definition(
    step(
        "charge",
        "core.fail",
        input={"errorType": "GatewayError", "errorCode": "502", "message": "bad gateway"},
    )
)
WAITING = definition(step("wait", "core.event", input={"name": "go"}))
# Two waits in a circle, the first one twice.
LOOP = definition(
    step(
        "first",
        "core.wait",
        input={"duration": "PT0.1S"},
        next=[{"nextStepId": "last", "condition": "'second' in steps"}, {"nextStepId": "second"}],
    ),
    step("second", "core.wait", input={"duration": "PT0.1S"}, next=[{"nextStepId": "first"}]),
    step("last"),
)
SLOW = definition(step("wait", "core.event", input={"name": "go"}), timeout="PT1S")


@asynccontextmanager
async def client_of(stack: Stack, *, database: bool, **given: Any) -> AsyncIterator[AsyncClient]:
    """A client of the stack, with a database or with Temporal only."""
    async with AsyncClient.connect(
        address=stack.client.service_client.config.target_host,
        namespace=stack.client.namespace,
        task_queue=stack.task_queue,
        database=stack.url if database else False,
        **{"actor": "ann", **given},
    ) as client:
        yield client


@pytest.fixture(params=[True, False], ids=["with a database", "with Temporal only"])
def database(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def waits(execution: AsyncExecution, step_id: str) -> None:
    """Returns when the run stands at this step."""

    async def look() -> bool:
        return (await execution.describe()).current_step_id == step_id

    await until(look)


async def test_start_approve_result(stack: Stack, database: bool) -> None:
    """The whole way: started, approved by its handle, its output."""
    async with client_of(stack, database=database) as client:
        execution = await client.start(definition=APPROVAL, input={"amount": 42})
        await waits(execution, "ask")
        assert str(await execution.status()) == "running"
        answer = await execution.approve(comment="fine")
        assert answer["verdict"] == "approved"
        assert await execution.result(PATIENCE) == {"approver": "ann", "amount": 42}
        assert str(await execution.status()) == "completed"
        again = client.get(execution.id)
        assert await again.result() == {"approver": "ann", "amount": 42}
        assert (await again.describe()).output == {"approver": "ann", "amount": 42}
        with pytest.raises(RefusedError, match="completed already"):
            await again.approve("ask")


async def test_watch_tells_each_change(stack: Stack, database: bool) -> None:
    """From how it stands to its end."""
    seen: list[Change] = []
    async with client_of(stack, database=database) as client:
        execution = await client.start(definition=APPROVAL, input={"amount": 1})
        async with asyncio.timeout(PATIENCE):
            async for change in execution.watch():
                seen.append(change)
                if (change.step, change.status) == ("ask", "waiting"):
                    await execution.approve()
    told = [(change.step, change.status) for change in seen]
    assert told[-1] == (None, "completed")
    assert told.index(("ask", "waiting")) < told.index(("ask", "completed"))
    assert ("note", "completed") in told
    assert str(seen[-1]) == f"{execution.id}: completed"


async def test_watch_tells_steps_in_the_order_in_which_they_ended(
    stack: Stack, database: bool
) -> None:
    """Also one that was entered again, where all is told at once."""
    async with client_of(stack, database=database) as client:
        execution = await client.start(definition=LOOP)
        await execution.result(PATIENCE)
        told = [(change.step, change.iteration) async for change in execution.watch()]
    latest = [one for one in told if one != ("first", 1)]
    assert latest == [("second", 1), ("first", 2), ("last", 1), (None, None)]


async def test_a_failure_has_its_type(stack: Stack, database: bool) -> None:
    """And its code, its message and its step."""
    async with client_of(stack, database=database) as client:
        execution = await client.start(definition=FAILING)
        with pytest.raises(ExecutionFailedError, match="bad gateway") as caught:
            await execution.result(PATIENCE)
        assert (caught.value.type, caught.value.code) == ("GatewayError", "502")
        assert caught.value.step_id == "charge"
        assert caught.value.execution_id == execution.id
        view = await execution.describe()
        assert str(view.status) == "failed"
        assert view.error is not None
        assert view.error["type"] == "GatewayError"


async def test_other_ends(stack: Stack, database: bool) -> None:
    """A timeout, a cancellation and a termination are told apart."""
    async with client_of(stack, database=database) as client:
        timed_out = await client.start(definition=SLOW)
        cancelled = await client.start(definition=WAITING)
        terminated = await client.start(definition=WAITING)
        for one in (cancelled, terminated):
            await waits(one, "wait")
        await cancelled.cancel("enough")
        await stack.client.get_workflow_handle(terminated.id).terminate("by hand")
        with pytest.raises(ExecutionTimedOutError):
            await timed_out.result(PATIENCE)
        with pytest.raises(ExecutionCancelledError):
            await cancelled.result(PATIENCE)
        with pytest.raises(ExecutionTerminatedError, match="was terminated"):
            await terminated.result(PATIENCE)
        with pytest.raises(RefusedError):
            await cancelled.cancel()


async def test_steering(stack: Stack, database: bool) -> None:
    """Pause, resume, send and skip; waiting has an end of its own."""
    document = definition(
        step("wait", "core.event", input={"name": "go"}),
        step("ask", "core.event", input={"name": "never"}),
        step("end"),
    )
    async with client_of(stack, database=database) as client:
        execution = await client.start(definition=document)
        await waits(execution, "wait")
        with pytest.raises(WaitTimeoutError) as caught:
            await execution.result(0.1)
        assert isinstance(caught.value, TimeoutError)
        assert await execution.pause("a moment")
        assert not await execution.pause()
        await until(lambda: _is(execution, "suspended"))
        assert await execution.resume()
        await execution.send("go", {"x": 1}, id="one")
        await waits(execution, "ask")
        with pytest.raises(RefusedError):
            await execution.skip("end")
        assert await execution.skip("ask") == "ask"
        await execution.result(PATIENCE)


async def _is(execution: AsyncExecution, status: str) -> bool:
    return str(await execution.status()) == status


async def test_an_idempotency_key_starts_once(stack: Stack, database: bool) -> None:
    """Also at once; another request under the key is refused, with a database or without."""
    key = uuid4().hex
    async with client_of(stack, database=database) as client:
        started = await asyncio.gather(
            *(client.start(definition=WAITING, idempotency_key=key) for _ in range(5))
        )
        assert len({one.id for one in started}) == 1
        assert sum(not one.started.existing for one in started if one.started) == 1
        with pytest.raises(ConflictError, match="another request"):
            await client.start(definition=WAITING, input={"other": 1}, idempotency_key=key)
        async with client_of(stack, database=not database) as other:
            assert (await other.start(definition=WAITING, idempotency_key=key)).id == started[0].id
        await started[0].send("go")
        await started[0].result(PATIENCE)
        assert (await client.start(definition=WAITING, idempotency_key=key)).id == started[0].id


async def test_the_worker_checks_what_the_client_cannot(stack: Stack) -> None:
    """Without a database an unknown definition is told by the result, with one by the start."""
    async with client_of(stack, database=False) as client:
        execution = await client.start("no-such-definition")
        with pytest.raises(ExecutionFailedError) as caught:
            await execution.result(PATIENCE)
        assert caught.value.type == "DefinitionNotFound"
        with pytest.raises(InvalidDocumentError):
            await client.start(definition={"workflowId": "x"})
        with pytest.raises(InvalidInputError):
            await client.start(definition=APPROVAL, input={})
    async with client_of(stack, database=True) as client:
        with pytest.raises(NotFoundError):
            await client.start("no-such-definition")


async def test_what_cannot_be_started(stack: Stack, database: bool) -> None:
    """Names and arguments that no execution can have are refused before Temporal hears of them."""
    async with client_of(stack, database=database) as client:
        for name in ("", "  ", "x" * 1001, "a\nb", "acme:nightly"):
            with pytest.raises(InvalidInputError, match="execution id"):
                await client.start(definition=WAITING, id=name)
        with pytest.raises(InvalidInputError, match="one of workflowId"):
            await client.start()
        with pytest.raises(InvalidInputError):
            await client.start("Not An Id")
        with pytest.raises(InvalidInputError, match="input"):
            await client.start(definition=WAITING, input=[1])  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError):
            client.get("")
        with pytest.raises(InvalidInputError, match="do not go together"):
            await client.start(definition=WAITING, id="x", idempotency_key="y")
        name = f"named-{uuid4().hex}"
        execution = await client.start(definition=FAILING, id=name)
        assert execution.id == name
        with pytest.raises(ConflictError):
            await client.start(definition=FAILING, id=name)


async def test_the_reserved_member_is_refused_before_anything_happens(
    stack: Stack, database: bool
) -> None:
    """In an input, and in an event's data: nothing is started, nothing is sent."""
    forged = {"deep": [{KEY: {"sha256": "0" * 64, "size": 5}}]}
    name = f"named-{uuid4().hex}"
    async with client_of(stack, database=database) as client:
        with pytest.raises(InvalidInputError, match=f"{re.escape(KEY)} at /deep/0, which is"):
            await client.start(definition=WAITING, input=forged, id=name)
        with pytest.raises(NotFoundError):
            await client.get(name).status()
        execution = await client.start(definition=WAITING)
        with pytest.raises(InvalidInputError, match="reserved; nothing was sent"):
            await execution.send("go", forged)
        await execution.send("go", {"n": 1})
        await execution.result(PATIENCE)


async def test_an_id_that_is_taken(stack: Stack, database: bool) -> None:
    """One's own execution is shown; of another org's nothing is said but that the id is taken."""
    other, name = f"other-{uuid4().hex[:8]}", f"named-{uuid4().hex}"
    await stack.store.create_org(other)
    async with (
        client_of(stack, database=database) as client,
        client_of(stack, database=database, org=other) as stranger,
    ):
        await client.start(definition=FAILING, id=name)
        with pytest.raises(ConflictError, match="there is an execution") as own:
            await client.start(definition=FAILING, id=name)
        assert f"`steploom show {name}`" in (own.value.hint or "")
        with pytest.raises(ConflictError, match="is taken") as theirs:
            await stranger.start(definition=FAILING, id=name)
        assert "show" not in (theirs.value.hint or "")
        second = await stranger.start(definition=FAILING)
        with pytest.raises(ConflictError) as own:
            await stranger.start(definition=FAILING, id=second.id)
        assert f"`steploom show {second.id} --org {other}`" in (own.value.hint or "")


async def test_another_org_s_execution_is_not_found(stack: Stack, database: bool) -> None:
    """Whatever one asks of it; also where it was started by Temporal's own client."""
    other = f"other-{uuid4().hex[:8]}"
    await stack.store.create_org(other)
    by_temporal = await stack.start(WAITING)
    async with (
        client_of(stack, database=database) as client,
        client_of(stack, database=database, org=other) as stranger,
    ):
        mine = await client.start(definition=WAITING)
        await waits(mine, "wait")
        for name in (mine.id, by_temporal.id):
            theirs = stranger.get(name)
            for asked in (
                theirs.status,
                theirs.result,
                theirs.pause,
                theirs.cancel,
                theirs.ui,
                theirs.approve,
            ):
                with pytest.raises(NotFoundError):
                    await asked()
            with pytest.raises(NotFoundError):
                await theirs.send("go")
            with pytest.raises(NotFoundError):
                await anext(theirs.watch())
            assert str(await client.get(name).status()) == "running"
            await client.get(name).send("go")
            await client.get(name).result(PATIENCE)


async def test_the_record_needs_a_database(stack: Stack) -> None:
    """What only the record knows is read from it, and asked for in vain without one."""
    async with client_of(stack, database=True) as client:
        execution = await client.start(definition=APPROVAL, input={"amount": 1}, tags={"a": "b"})
        await waits(execution, "ask")
        await execution.approve()
        await execution.result(PATIENCE)
        assert [one.path for one in await execution.steps()] == ["ask", "note"]
        assert (await execution.explain("ask")).steps[0].voted
        assert (await execution.describe()).tags == {"a": "b"}
        again = await client.rerun(execution.id, "note")
        assert (await again.result(PATIENCE))["approver"] == "ann"
    async with client_of(stack, database=False) as client:
        for asked in (client.get(execution.id).steps, client.get(execution.id).explain):
            with pytest.raises(UnreachableError, match="no database"):
                await asked()


async def test_nobody_is_there(stack: Stack, database: bool) -> None:
    """Without a worker a start is taken, and what needs an answer says that none is there."""
    async with AsyncClient.connect(
        address=stack.client.service_client.config.target_host,
        task_queue=f"nobody-{uuid4().hex}",
        database=stack.url if database else False,
    ) as client:
        execution = await client.start(definition=WAITING)
        assert execution.started is not None
        assert not execution.started.served
        assert str(await execution.status()) == "running"
        for asked in (execution.pause, execution.ui):
            with pytest.raises(UnreachableError, match="no worker serves"):
                await asked()
        await execution.send("go")
        await execution.cancel()
    with pytest.raises(UnreachableError):
        async with AsyncClient.connect(address="127.0.0.1:1", database=False):
            pass


def _by_hand(stack: Stack, database: bool) -> list[str]:
    with Client.connect(
        address=stack.client.service_client.config.target_host,
        task_queue=stack.task_queue,
        database=stack.url if database else False,
        actor="bob",
    ) as client:
        execution = client.start(definition=APPROVAL, input={"amount": 7})
        seen = []
        for change in client.get(execution.id).watch():
            seen.append(change.text)
            if (change.step, change.status) == ("ask", "waiting"):
                execution.approve("ask")
        assert execution.result(PATIENCE) == {"approver": "bob", "amount": 7}
        failing = client.start(definition=FAILING)
        with pytest.raises(ExecutionFailedError):
            failing.result(PATIENCE)
        left = next(client.start(definition=WAITING).watch())
        assert left.step == "wait"
        return seen


async def test_the_synchronous_client(stack: Stack, database: bool) -> None:
    """The same, without an event loop of the program's own."""
    seen = await asyncio.to_thread(_by_hand, stack, database)
    assert seen[-1].endswith(": completed")


async def test_a_closed_client_says_so(stack: Stack) -> None:
    """The synchronous one, and its executions, after the ``with`` block."""

    def used_later() -> None:
        with Client.connect(
            address=stack.client.service_client.config.target_host,
            task_queue=stack.task_queue,
            database=stack.url,
        ) as client:
            execution = client.start(definition=WAITING)
            watching = execution.watch()
            next(watching)
        calls: list[Callable[[], Any]] = [
            lambda: client.start(definition=WAITING),
            lambda: client.rerun(execution.id, "wait"),
            client.get(execution.id).status,
            lambda: next(watching),
            lambda: next(execution.watch()),
            lambda: execution.send("go"),
            lambda: execution.skip("wait"),
            *(
                getattr(execution, name)
                for name in (
                    "result", "status", "describe", "approve", "reject", "pause", "resume",
                    "cancel", "steps", "explain", "ui",
                )
            ),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(ClientClosedError, match="the client is closed") as caught:
                call()
            assert caught.value.hint
        assert issubclass(ClientClosedError, SteploomError)

    await asyncio.to_thread(used_later)


async def test_the_synchronous_client_in_threads(stack: Stack) -> None:
    """One client, many threads."""

    def many() -> list[Any]:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        with (
            Client.connect(
                address=stack.client.service_client.config.target_host,
                task_queue=stack.task_queue,
                database=stack.url,
            ) as client,
            ThreadPoolExecutor(8) as threads,
        ):
            one = definition(step("a", output={"n": "${input.n}"}))
            runs = threads.map(lambda n: client.start(definition=one, input={"n": n}), range(24))
            return list(threads.map(lambda run: run.result(PATIENCE)["n"], runs))

    assert await asyncio.to_thread(many) == list(range(24))
