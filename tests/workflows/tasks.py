"""Tasks for the tests. Gates let a test decide when a task goes on, so that no test sleeps."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pydantic import BaseModel, Field

from steploom import TaskContext, TaskError, task


class Gate:
    """A task that came here has ``entered`` it (so often), and goes on once it is ``open``."""

    def __init__(self) -> None:
        self.entries = 0
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = asyncio.Event()


_GATES: dict[str, Gate] = {}
#: By execution id: what each attempt of ``test.remember`` was told.
REMEMBERED: dict[str, list[tuple[int, str]]] = {}


def gate(name: str) -> Gate:
    """The gate of this name."""
    return _GATES.setdefault(name, Gate())


class Order(BaseModel):
    """The input of ``test.quote``."""

    amount: float = Field(gt=0)
    currency: str = "EUR"


class Quote(BaseModel):
    """Its output."""

    total: float
    currency: str


class GatewayError(Exception):
    """An exception whose class name is the error's type."""


class Failing(BaseModel):
    """``times``: how many attempts fail, all of them if absent."""

    type: str = "GatewayError"
    code: str | None = None
    message: str = "bad gateway"
    details: Any = None
    retryable: bool = True
    times: int | None = None
    then: Any = None


@task("test.echo")
async def echo(given: Any) -> Any:
    return given


@task("test.echo-local", mode="local")
async def echo_local(given: Any) -> Any:
    return given


@task("test.echo-sync")
def echo_sync(given: Any) -> Any:
    return given


@task("test.exit")
async def leave(given: Any) -> None:
    raise SystemExit(given)


@task("test.exit-sync")
def leave_sync(given: Any) -> None:
    raise SystemExit(given)


@task("test.unprintable")
async def unprintable(given: Any) -> None:
    raise ValueError("half \ud800 and \0 nothing")


@task("test.nothing")
def nothing() -> None:
    """No input, no output."""


@task("test.quote")
async def quote(order: Order) -> Quote:
    return Quote(total=order.amount * 1.2, currency=order.currency)


@task("test.quote-local", mode="local")
def quote_local(order: Order) -> Quote:
    return Quote(total=order.amount * 1.2, currency=order.currency)


@task("test.context")
async def context(_given: Any, context: TaskContext) -> dict[str, Any]:
    return {
        "executionId": context.execution_id,
        "workflowId": context.workflow_id,
        "workflowVersion": context.workflow_version,
        "stepId": context.step_id,
        "stepPath": context.step_path,
        "iteration": context.iteration,
        "attempt": context.attempt,
        "idempotencyKey": context.idempotency_key,
    }


@task("test.remember")
def remember(given: Failing, context: TaskContext) -> Any:
    """Fails as it is told, and remembers the idempotency key of each attempt."""
    seen = REMEMBERED.setdefault(context.execution_id, [])
    seen.append((context.attempt, context.idempotency_key))
    return fail(given, context)


@task("test.unstable")
def unstable(given: Failing, context: TaskContext) -> Any:
    """Fails in so many runs of one execution, each of which has an idempotency key of its own."""
    execution = context.execution_id.partition("/")[0]
    seen = REMEMBERED.setdefault(execution, [])
    seen.append((context.attempt, context.idempotency_key))
    runs = len({key for _, key in seen})
    fails = given.times is None or runs <= given.times
    return fail(given.model_copy(update={"times": context.attempt if fails else 0}), context)


@task("test.fail")
def fail(given: Failing, context: TaskContext) -> Any:
    if given.times is None or context.attempt <= given.times:
        raise TaskError(
            given.message,
            type=given.type,
            code=given.code,
            details=given.details,
            retryable=given.retryable,
        )
    return given.then


@task("test.fail-local", mode="local")
def fail_local(given: Failing, context: TaskContext) -> Any:
    return fail(given, context)


@task("test.raise")
async def raise_plainly(_given: Any) -> None:
    raise GatewayError("the line is dead")


@task("test.bytes")
async def many_bytes(given: dict[str, int]) -> dict[str, str]:
    return {"text": "x" * given["count"]}


@task("test.bytes-local", mode="local")
async def many_bytes_local(given: dict[str, int]) -> dict[str, str]:
    return await many_bytes(given)


@task("test.gate")
async def through_gate(given: dict[str, Any]) -> dict[str, Any]:
    """Waits at a gate, giving signs of life by itself."""
    here = gate(given["gate"])
    here.entries += 1
    here.entered.set()
    try:
        await here.open.wait()
    except asyncio.CancelledError:
        here.cancelled.set()
        raise
    return given


@task("test.gate-local", mode="local")
async def through_gate_local(given: dict[str, Any]) -> dict[str, Any]:
    return await through_gate(given)


@task("test.stuck")
async def stuck(given: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Hangs for so many attempts, silently, then answers."""
    if context.attempt <= given.get("times", 1_000_000):
        gate(given["gate"]).entered.set()
        await asyncio.Event().wait()
    return {"attempt": context.attempt}


@task("test.stuck-local", mode="local")
async def stuck_local(given: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    return await stuck(given, context)


@task("test.stuck-sync")
def stuck_sync(given: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """As ``test.stuck``, in a thread; it looks whether anybody still waits for it."""
    while context.attempt <= given.get("times", 1_000_000) and not context.cancelled:
        time.sleep(0.01)
    return {"attempt": context.attempt}


@task("test.beating")
async def beating(given: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Sends heartbeats of its own for a while that is longer than its heartbeatTimeout."""
    for _ in range(given["beats"]):
        context.heartbeat()
        await asyncio.sleep(0.1)
    return {"attempt": context.attempt}


UNSTORABLE: dict[str, Any] = {
    "zero": {"text": "a\x00b"},
    "surrogate": {"text": "a\ud800b"},
    "nan": {"number": float("nan")},
    "infinity": {"numbers": [float("inf"), float("-inf"), 1.5]},
    "huge": {"number": float("1e400")},
    "key": {"a\ud800": {"b\x00": 1}},
}


@task("test.unstorable")
async def unstorable(given: dict[str, str]) -> Any:
    return UNSTORABLE[given["which"]]


@task("test.unstorable-typed")
async def unstorable_typed(given: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = UNSTORABLE[given["which"]]
    return found
