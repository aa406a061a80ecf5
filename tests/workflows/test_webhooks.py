"""Telling a webhook of a run's end, over real sockets: what is sent, how often, what is kept."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.common import RetryPolicy
from typing_extensions import override

from adapters.postgres.configs import PostgresConfigStore
from definitions.identity import event_id
from definitions.names import WEBHOOK_ACTIVITY
from tests.postgres import as_administrator
from tests.workflows.documents import definition, step
from tests.workflows.stack import DEFAULT, PATIENCE, until
from worker import webhooks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.api.history.v1 import HistoryEvent

    from tests.workflows.stack import Handle, Stack


class Hook:
    """A web server: answers with ``statuses`` in turn, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses = [200]
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        #: Is set when a request has come; the answer waits for the other one.
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()


@contextmanager
def _listening() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            hook.bodies.append(json.loads(sent))
            hook.headers.append(dict(self.headers))
            hook.paths.append(self.path)
            hook.asked.set()
            hook.answers.wait()
            number = min(len(hook.bodies), len(hook.statuses)) - 1
            self.send_response(hook.statuses[number])
            self.send_header("content-length", "0")
            self.send_header("location", "/elsewhere")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        hook.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hook
        finally:
            hook.answers.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A webhook on loopback, which the worker is allowed to reach."""
    with _listening() as listening:
        yield listening


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many attempts as ever, without long waits between them."""
    again = RetryPolicy(
        initial_interval=timedelta(milliseconds=20),
        backoff_coefficient=1.0,
        maximum_attempts=webhooks._RETRY.maximum_attempts,
    )
    monkeypatch.setattr(webhooks, "_RETRY", again)


async def hooked(stack: Stack, document: dict[str, Any], url: str) -> str:
    """Registers a definition whose runs on the web are told of; returns its id."""
    version = await stack.register(document)
    store = PostgresConfigStore(stack.database)
    await store.set_channel(DEFAULT, version.definition_id, "web", webhook_url=url)
    return version.workflow_id


async def history(handle: Handle) -> list[HistoryEvent]:
    """The events of a run."""
    return list((await handle.fetch_history()).events)


async def calls(handle: Handle) -> int:
    """How many calls of the webhook a run has scheduled."""
    kinds = [one.activity_task_scheduled_event_attributes for one in await history(handle)]
    return [one.activity_type.name for one in kinds].count(WEBHOOK_ACTIVITY)


def told(stack: Stack, handle: Handle) -> list[tuple[str, dict[str, Any]]]:
    """What is on record of a run's webhook."""
    rows = as_administrator(
        stack.url,
        "SELECT e.event_type, e.event_data FROM workflow_events AS e"
        " JOIN workflow_instances AS i ON i.trace_id = e.trace_id"
        " WHERE i.execution_id = %s AND e.event_type LIKE 'webhook.%%'",
        handle.id,
    )
    return [(row["event_type"], row["event_data"]) for row in rows]


async def test_the_end_of_a_run_is_told_once(stack: Stack, hook: Hook) -> None:
    """With what is on record of it, under an id that is the same on every attempt."""
    workflow = await hooked(stack, definition(step("a", "test.echo")), f"{hook.url}/ended?a=1")
    handle = await stack.start(
        workflow, {"amount": 7}, correlationId="c-1", externalId="x-1", idempotencyKey="k-1"
    )
    assert await stack.result(handle) == {"amount": 7}
    run = (await stack.record(handle)).instance
    identity = str(event_id(DEFAULT, run.first_run_id, "webhook"))
    assert run.completed_at is not None
    assert hook.bodies == [
        {
            "id": identity,
            "type": "workflow.completed",
            "executionId": handle.id,
            "instanceId": str(run.id),
            "workflowId": workflow,
            "version": "1.0.0",
            "org": "default",
            "channel": "web",
            "status": "completed",
            "outcome": "success",
            "correlationId": "c-1",
            "externalId": "x-1",
            "startedAt": run.started_at.isoformat().replace("+00:00", "Z"),
            "endedAt": run.completed_at.isoformat().replace("+00:00", "Z"),
            "output": {"amount": 7},
        }
    ]
    assert hook.paths == ["/ended?a=1"]
    assert hook.headers[0]["Idempotency-Key"] == identity
    assert hook.headers[0]["Content-Type"] == "application/json"
    told_of = {"host": "127.0.0.1", "status": 200, "attempts": 1}
    assert told(stack, handle) == [("webhook.delivered", told_of)]


async def test_without_a_webhook_a_run_has_no_more_events(stack: Stack, hook: Hook) -> None:
    """The same definition on a channel with one and without: the call is all the difference."""
    workflow = await hooked(stack, definition(step("a", "test.echo")), hook.url)
    with_one = await stack.start(workflow, channel="web")
    without = await stack.start(workflow, channel="voice")
    await stack.result(with_one)
    await stack.result(without)
    assert (await calls(with_one), await calls(without)) == (1, 0)
    assert len(hook.bodies) == 1
    # Scheduled, started and completed, and the workflow task that goes on from there.
    assert len(await history(with_one)) - len(await history(without)) == 6


async def test_a_failed_run_is_told_with_its_error(stack: Stack, hook: Hook) -> None:
    """In the place of an output."""
    document = definition(
        step("stop", "core.fail", input={"errorType": "Oops", "message": "no more"})
    )
    workflow = await hooked(stack, document, hook.url)
    error, _ = await stack.run_failing(workflow)
    assert error.type == "Oops"
    [body] = hook.bodies
    assert (body["type"], body["outcome"]) == ("workflow.failed", "failed")
    assert body["error"]["message"] == "no more"
    assert "output" not in body


async def test_a_cancelled_run_is_told(stack: Stack, hook: Hook) -> None:
    """What it was cancelled for does not keep its webhook from being called."""
    document = definition(step("ask", "core.approval"))
    workflow = await hooked(stack, document, hook.url)
    handle = await stack.start(workflow)
    await stack.waits(handle, "ask")
    await handle.cancel()
    await stack.end(handle)
    assert [(one["type"], one["outcome"]) for one in hook.bodies] == [
        ("workflow.cancelled", "cancelled")
    ]


async def test_a_run_that_has_ended_is_not_cancelled_any_more(stack: Stack, hook: Hook) -> None:
    """A cancel that comes while the webhook is called changes neither the call nor the result."""
    hook.answers.clear()
    workflow = await hooked(stack, definition(step("a", "test.echo")), hook.url)
    handle = await stack.start(workflow, {"amount": 7})
    await asyncio.to_thread(hook.asked.wait, PATIENCE)
    await handle.cancel()

    async def heard() -> bool:
        kinds = [one.event_type for one in await history(handle)]
        return EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED in kinds

    await until(heard)
    hook.answers.set()
    assert await stack.result(handle) == {"amount": 7}
    assert [kind for kind, _ in told(stack, handle)] == ["webhook.delivered"]


@pytest.mark.usefixtures("soon")
async def test_a_webhook_that_is_down_changes_no_result(stack: Stack, hook: Hook) -> None:
    """It is tried so many times and no more; that it failed is on record."""
    hook.statuses = [503]
    workflow = await hooked(stack, definition(step("a", "test.echo")), hook.url)
    handle = await stack.start(workflow, {"amount": 7})
    assert await stack.result(handle) == {"amount": 7}
    assert len(hook.bodies) == webhooks._RETRY.maximum_attempts == 8
    assert len({body["id"] for body in hook.bodies}) == 1
    [(kind, data)] = told(stack, handle)
    assert (kind, data["attempts"], data["error"]["code"]) == ("webhook.failed", 8, "503")
    assert (await stack.record(handle)).instance.status == "completed"


@pytest.mark.usefixtures("soon")
async def test_a_webhook_that_comes_back_is_told(stack: Stack, hook: Hook) -> None:
    """With the number of the attempt on record."""
    hook.statuses = [503, 503, 204]
    workflow = await hooked(stack, definition(step("a", "test.echo")), hook.url)
    handle = await stack.start(workflow)
    await stack.result(handle)
    told_of = {"host": "127.0.0.1", "status": 204, "attempts": 3}
    assert told(stack, handle) == [("webhook.delivered", told_of)]


@pytest.mark.parametrize("status", [302, 404])
async def test_what_says_no_is_not_asked_again(stack: Stack, hook: Hook, status: int) -> None:
    """Nor is a redirect followed, which would turn the POST into something else."""
    hook.statuses = [status]
    workflow = await hooked(stack, definition(step("a", "test.echo")), hook.url)
    handle = await stack.start(workflow)
    await stack.result(handle)
    assert len(hook.bodies) == 1
    [(kind, data)] = told(stack, handle)
    assert (kind, data["attempts"], data["error"]["code"]) == ("webhook.failed", 1, str(status))


async def test_a_private_address_is_not_called(stack: Stack) -> None:
    """The guard is that of ``core.http``."""
    workflow = await hooked(
        stack, definition(step("a", "test.echo")), "http://169.254.169.254/latest"
    )
    handle = await stack.start(workflow)
    await stack.result(handle)
    [(kind, data)] = told(stack, handle)
    assert (kind, data["error"]["code"]) == ("webhook.failed", "forbidden-address")


async def test_a_secret_of_the_url_is_in_the_request_alone(
    stack: Stack, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in Temporal's history nor on record, also when the call fails."""
    monkeypatch.setenv("STEPLOOM_SECRET_HOOK_TOKEN", "planted-in-the-url")
    hook.statuses = [404]
    workflow = await hooked(
        stack, definition(step("a", "test.echo")), f"{hook.url}/secret://hook-token/ended"
    )
    handle = await stack.start(workflow)
    await stack.result(handle)
    assert hook.paths == ["/planted-in-the-url/ended"]
    assert b"planted" not in b"".join(one.SerializeToString() for one in await history(handle))
    [(kind, data)] = told(stack, handle)
    assert kind == "webhook.failed"
    assert "planted" not in json.dumps(data)


async def test_the_webhook_is_called_after_a_run_has_continued(stack: Stack, hook: Hook) -> None:
    """Once, at the end of the last run of the chain."""
    workflow = await hooked(
        stack,
        definition(step("a", "test.echo"), step("b", "test.echo"), step("c", "test.echo")),
        hook.url,
    )
    async with stack.worker(history_limit=1) as hasty:
        handle = await hasty.start(workflow)
        await hasty.result(handle)
    assert len(hook.bodies) == 1


async def test_a_child_run_tells_its_own_webhook(stack: Stack, hook: Hook) -> None:
    """Each is configured for itself."""
    child = await hooked(stack, definition(step("a", "test.echo")), f"{hook.url}/child")
    parent = definition(step("run", "core.workflow", input={"workflowId": child}))
    await stack.run(parent)
    assert hook.paths == ["/child"]
