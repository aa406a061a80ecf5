"""Makes the histories that ``test_replay`` replays: ``python -m tests.replay.record [FOLDER]``.

Runs definitions on a Temporal and a Postgres of its own, fetches each run's history and takes out
whatever tells of the machine. Do this once for each release, into a folder of its name; a history
that was released is never made again.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.postgres.database import Database
from adapters.postgres.migrate import upgrade
from adapters.postgres.server import EmbeddedPostgres
from adapters.temporal.binary import find_or_install_temporal
from adapters.temporal.connection import TemporalConnection, connect
from adapters.temporal.server import TemporalServer
from definitions.names import (
    SEARCH_ATTRIBUTES,
    SIGNAL_EVENT,
    UPDATE_PAUSE,
    UPDATE_RESUME,
    UPDATE_SKIP,
)
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.workflows.stack import Handle

HISTORIES = Path(__file__).parent / "histories"

_IDENTITY = re.compile(r"^\d+@.+$")


def named(name: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A definition whose id does not change from one recording to the next."""
    return {**definition(*steps, **fields), "workflowId": f"recorded-{name}"}


async def plain(stack: Stack) -> Handle:
    """Steps in a row, with a condition."""
    document = named(
        "plain",
        step("first", "test.echo", input={"n": "${data.n + 1}"}),
        step("second", "test.quote", input={"amount": "${data.n}"}),
        step(
            "choose",
            next=[{"nextStepId": "big", "condition": "data.total > 10"}, {"nextStepId": "small"}],
        ),
        step("big", "test.echo", input={"big": True}, next=[]),
        step("small", "test.echo", input={"big": False}),
    )
    return await stack.start(document, {"n": 1}, correlationId="c-1")


async def branches(stack: Stack) -> Handle:
    """Branches in branches, items, variables."""
    document = named(
        "branches",
        step(
            "fork",
            "test.echo",
            input={"own": 1},
            parallelBranches=[
                branch(
                    "a",
                    step("a1", "test.echo", input={"x": 1}),
                    step(
                        "inner",
                        parallelBranches=[
                            branch("x", step("x1", "test.echo-local"), step("x2", "test.echo")),
                            branch("y", step("y1", "core.wait", input={"duration": "PT0.3S"})),
                        ],
                    ),
                ),
                branch(
                    "b",
                    step(
                        "items",
                        "test.echo",
                        forEach={"items": [1, 2, 3, 4], "maxConcurrency": 2},
                        input={"n": "${item}"},
                    ),
                    step("b2", "core.set", input={"seen": "${data}"}),
                ),
            ],
        ),
        step("after", "test.echo"),
    )
    return await stack.start(document, {"n": 1})


async def failures(stack: Stack) -> Handle:
    """Retries, a handler, a failing branch that cancels its sibling, a rollback."""
    document = named(
        "failures",
        step("book", "test.echo", input={"id": 1}, compensation={"taskId": "test.echo"}),
        step("flaky", "test.fail", input={"times": 1, "then": {}}, retryPolicy=retry(3)),
        step(
            "handled",
            "test.fail",
            retryPolicy=retry(2),
            onFailure={
                "errorHandler": {
                    "conditions": [{"errorType": "GatewayError", "nextStepId": "fork"}]
                }
            },
        ),
        step("never"),
        step(
            "fork",
            parallelBranches=[
                branch("slow", step("s1", "core.wait", input={"duration": "PT1H"})),
                branch("bad", step("b1", "test.fail", retryPolicy=retry(1))),
            ],
        ),
    )
    return await stack.start(document)


async def people(stack: Stack) -> Handle:
    """An approval, a timer, pause and resume, an approval that runs out of time."""
    document = named(
        "people",
        step("ask", "core.approval", input={"approvers": ["ann"]}),
        step("wait", "core.wait", input={"duration": "PT1S"}),
        step("late", "core.approval", timeout="PT1S", onFailure={"action": "continue"}),
        step("end", "test.echo", input={"by": "${steps.ask.output.approver}"}),
        timeout="PT1H",
    )
    handle = await stack.start(document)
    await stack.waits(handle, "ask")
    await handle.execute_update(UPDATE_PAUSE)
    await handle.execute_update(UPDATE_RESUME)
    await stack.decide(handle, "ask")
    return handle


async def continued(stack: Stack) -> Handle:
    """A run that goes on where another one stopped; the history is that of the latest."""
    document = named(
        "continued",
        step("count", "core.set", input={"n": "${variables.n + 1}"}),
        step(
            "work",
            "test.echo",
            input={"n": "${variables.n}"},
            next=[{"nextStepId": "count", "condition": "variables.n < 3"}, {"nextStepId": "fork"}],
        ),
        step(
            "fork",
            parallelBranches=[
                branch("a", step("a1", "test.echo"), step("a2", "test.echo")),
                branch("b", step("b1", "core.wait", input={"duration": "PT1S"}), step("b2")),
            ],
        ),
        step("end", "test.echo-local"),
        variables={"n": 0},
    )
    async with stack.worker(history_limit=12) as short:
        handle = await short.start(document)
        await short.end(handle)
    return handle


async def refused(stack: Stack) -> Handle:
    """A start object of a wrong shape."""
    return await stack.start_with({"workflowId": "recorded-refused", "nonsense": True})


async def local(stack: Stack) -> Handle:
    """Local tasks, one of them retried, one of them failing."""
    document = named(
        "local",
        step("one", "test.echo-local", input={"n": 1}),
        step("two", "test.fail-local", input={"times": 1, "then": {}}, retryPolicy=retry(3)),
        step("three", "test.quote-local", input={"amount": 5}),
        step("four", "test.fail-local", retryPolicy=retry(1), onFailure={"action": "continue"}),
        step("five", "test.echo-local"),
    )
    return await stack.start(document)


async def segments(stack: Stack) -> Handle:
    """Local tasks in a row, which are one activity, as often as something comes in between."""
    document = named(
        "segments",
        step("one", "test.echo-local", input={"n": "${data.n + 1}"}),
        step("set", "core.set", input={"round": "${variables.round + 1}"}),
        step(
            "two",
            "test.echo-local",
            input={"n": "${data.n * 2}"},
            next=[{"nextStepId": "set", "condition": "variables.round < 3"}, {"nextStepId": "bad"}],
        ),
        step("bad", "test.fail-local", input={"times": 1, "then": {}}, retryPolicy=retry(3)),
        step("three", "test.echo-local", input={"n": "${data.n}"}),
        step("gone", "test.fail-local", retryPolicy=retry(1), onFailure={"action": "continue"}),
        step("remote", "test.echo", input={"n": "${data.n}"}),
        step("four", "test.echo-local"),
        step("five", "test.echo-local"),
        variables={"round": 0},
        timeout="PT1H",
    )
    return await stack.start(document, {"n": 1})


async def cancelled(stack: Stack) -> Handle:
    """A run that is cancelled while it waits, and rolled back."""
    document = named(
        "cancelled",
        step("book", "test.echo", input={"id": 1}, compensation={"taskId": "test.echo"}),
        step("wait", "core.wait", input={"duration": "PT1H"}),
        rollback={"on": ["failed", "cancelled"]},
    )
    handle = await stack.start(document)
    await stack.waits(handle, "wait")
    await handle.cancel()
    return handle


async def flows(stack: Stack) -> Handle:
    """Events early and late, children that end well and badly, what is published and skipped."""
    inner = named("flows-child", step("s", "test.echo", input={"n": "${input.n}"}))
    await stack.register(inner)
    child = {"workflowId": inner["workflowId"], "input": {"n": "${item}"}}
    missing = {"workflowId": "recorded-nothing"}
    document = named(
        "flows",
        step("wait", "core.wait", input={"duration": "PT1H"}),
        step("early", "core.event", input={"name": "n"}),
        step("publish", "core.publish", input={"type": "it.happened", "data": "${data}"}),
        step("each", "core.workflow", input=child, forEach={"items": [1, 2]}),
        step(
            "fork",
            parallelBranches=[
                branch("a", step("late", "core.event", input={"name": "n"})),
                branch("b", step("retried", "test.fail", retryPolicy=retry(3, "PT1H"))),
            ],
        ),
        step(
            "lost",
            "core.workflow",
            input=missing,
            retryPolicy=retry(2),
            onFailure={"action": "continue"},
        ),
        step("end", "test.echo", input={"error": "${error.type}"}),
    )
    handle = await stack.start(document)
    await stack.waits(handle, "wait")
    await handle.signal(SIGNAL_EVENT, {"name": "n", "data": {"n": 1}})
    await handle.signal(SIGNAL_EVENT, args=[])
    await handle.execute_update(UPDATE_SKIP, {"stepId": "wait", "actor": "ops@example.com"})
    await stack.waits(handle, "fork/a/late")
    await handle.signal(SIGNAL_EVENT, {"name": "n", "data": {"n": 2}})
    await stack.recorded(
        handle,
        lambda record: (
            any(one.path == "fork/b/retried" for one in record.steps)
            and record.attempt_statuses("fork/b/retried") == ["failed"]
        ),
    )
    await handle.execute_update(UPDATE_SKIP, {"stepId": "retried"})
    return handle


RUNS: dict[str, Callable[[Stack], Awaitable[Handle]]] = {
    run.__name__: run
    for run in (
        plain,
        branches,
        failures,
        people,
        continued,
        refused,
        local,
        segments,
        cancelled,
        flows,
    )
}


async def record(stack: Stack, folder: Path) -> None:
    """Writes a history for each of ``RUNS``."""
    for name, begin in RUNS.items():
        handle = await begin(stack)
        await stack.end(handle)
        latest = stack.client.get_workflow_handle(handle.id)
        history = scrubbed((await latest.fetch_history()).to_json_dict())
        _write(folder / f"{name}.json", {"id": handle.id, "history": history})


def _write(file: Path, recorded: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", "utf-8")


def scrubbed(value: Any) -> Any:
    """Without the names of processes and machines."""
    if isinstance(value, dict):
        return {name: _scrubbed(name, one) for name, one in value.items()}
    if isinstance(value, list):
        return [scrubbed(one) for one in value]
    return value


def _scrubbed(name: str, value: Any) -> Any:
    if isinstance(value, str):
        if name == "identity" or _IDENTITY.match(value):
            return "worker"
        return "" if name == "stackTrace" else value
    return scrubbed(value)


async def _main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as base,
        EmbeddedPostgres(Path(base) / "pg", durable=False) as postgres,
        TemporalServer(
            find_or_install_temporal(print),
            headless=True,
            search_attributes=dict.fromkeys(SEARCH_ATTRIBUTES, "Keyword"),
        ) as temporal,
    ):
        upgrade(postgres.url)
        client = await connect(TemporalConnection(address=temporal.address))
        async with Database(postgres.url) as database:
            bare = Stack(client, database, postgres.url, "")
            async with bare.worker() as stack:
                await record(stack, folder)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]) if sys.argv[1:] else HISTORIES / "v0.1.0"))
