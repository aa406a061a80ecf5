"""Tasks that a worker in Go serves, declared in a task catalogue."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType

from adapters.processes.child import Child
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.gobuild import SOURCES
from tests.workflows.stack import Stack, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.workflows.stack import Handle

#: The probes of the worker in Go, by the ids that the tests give them.
PROBES = {
    "go.echo": "Echo",
    "go.fail": "Fail",
    "go.fail-oddly": "FailOddly",
    "go.answer-oddly": "AnswerOddly",
    "go.beat": "Beat",
    "go.silent": "FallSilent",
}
TRIED_FIVE_TIMES = retry(5)


@pytest.fixture(scope="module")
def go_queue(
    go_program: Path, temporal_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The task queue of a worker in Go that runs."""
    queue = f"go-{uuid4().hex[:12]}"
    environment = {
        **os.environ,
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_NAMESPACE": "default",
        "TASK_QUEUE": queue,
    }
    log = tmp_path_factory.mktemp("goworker") / "worker.log"
    worker = Child([go_program], env=environment, log=log, grace=5.0)
    try:
        yield queue
    finally:
        worker.stop()


@pytest.fixture(scope="module")
def catalogue(go_queue: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The catalogue of the worker in Go, with its queue, and with one that nobody polls."""
    declared = json.loads((SOURCES / "catalogue.json").read_text())
    tasks = [{**task, "taskQueue": go_queue} for task in declared["tasks"]]
    probe = {"taskQueue": go_queue, "attemptTimeout": "PT1M"}
    tasks += [{**probe, "taskId": name, "activity": kind} for name, kind in PROBES.items()]
    nobody = {"taskId": "nobody.serves", "activity": "Echo", "taskQueue": f"{go_queue}-none"}
    file = tmp_path_factory.mktemp("catalogue") / "catalogue.json"
    file.write_text(json.dumps({"tasks": [*tasks, {**probe, **nobody}]}))
    return str(file)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def polyglot(stack: Stack, catalogue: str) -> AsyncIterator[Stack]:
    """A worker of ours that knows the tasks of the one in Go."""
    async with stack.worker(catalogue=[catalogue]) as served:
        yield served


async def test_a_task_in_go(polyglot: Stack) -> None:
    """Plain JSON in and out; the step is on record whole; the activity's id is the key."""
    charge = {"orderId": "o-1", "amount": 120}
    result, record = await polyglot.run(
        definition(
            step("charge", "charge-card", input=charge, output={"id": "${output.chargeId}"}),
            step("after", "test.echo", input={"was": "${steps.charge.output.id}"}),
        )
    )
    charged = record.step("charge")
    assert (charged.task_id, charged.status) == ("charge-card", "completed")
    assert (charged.input, charged.output, charged.error) == (charge, {"id": result["was"]}, None)
    assert charged.started_at is not None
    assert charged.completed_at is not None
    assert charged.started_at <= charged.completed_at
    assert (charged.attempts, charged.attempt_records) == (1, [])
    assert result["was"] == f"ch-{record.instance.first_run_id}:charge:1"
    assert charged.decision is not None
    assert charged.decision.target == "after"


@pytest.mark.parametrize(
    "value", [{"a": [1, "zwei", None, 2.5]}, [], "text", 7, None, {"big": 9007199254740991}]
)
async def test_values_come_back_as_they_went(polyglot: Stack, value: Any) -> None:
    """Any JSON; what is no object stands under ``value``, as for every task."""
    result, record = await polyglot.run(definition(step("echo", "go.echo", input=value)))
    assert result == (value if isinstance(value, dict) else {"value": value})
    assert record.step("echo").output == result


async def test_it_fails_and_then_succeeds(polyglot: Stack) -> None:
    """Temporal tries it again by the step's policy, and the record says how often."""
    given = {"type": "GatewayError", "message": "try again", "retryable": True, "times": 2}
    result, record = await polyglot.run(
        definition(step("charge", "go.fail", input=given, retryPolicy=TRIED_FIVE_TIMES))
    )
    assert result == {"attempt": 3}
    charge = record.step("charge")
    assert (charge.error, charge.attempts, charge.attempt_records) == (None, 3, [])


async def test_it_fails_until_its_attempts_are_spent(polyglot: Stack) -> None:
    """Type, message, code and details come from the failure; no attempt is made up."""
    details = {"code": "502", "host": "gw"}
    given = {"type": "GatewayError", "message": "no", "retryable": True, "details": details}
    error, record = await polyglot.run_failing(
        definition(step("charge", "go.fail", input=given, retryPolicy=retry(2)))
    )
    assert (error.type, error.message) == ("GatewayError", "step charge failed: no")
    charge = record.step("charge")
    assert charge.status == "failed"
    assert charge.input == given
    assert charge.error is not None
    assert charge.error.model_dump() == {
        "type": "GatewayError", "code": "502", "message": "no", "details": details,
        "step_id": "charge", "attempts": 2,
    }  # fmt: skip
    assert charge.attempts == 2
    assert charge.attempt_records == []
    assert charge.completed_at is not None


async def test_a_refusal_is_not_tried_again(polyglot: Stack) -> None:
    """Non-retryable; a handler takes it by its code."""
    on_failure = {"errorHandler": {"conditions": [{"errorCode": "51", "nextStepId": "decline"}]}}
    result, record = await polyglot.run(
        definition(
            step(
                "charge",
                "charge-card",
                input={"orderId": "o-1", "amount": 20_000},
                onFailure=on_failure,
                next=[],
            ),
            step("decline", "test.echo", input={"why": "${error.type}", "by": "${error.details}"}),
        )
    )
    assert result == {"why": "CardDeclined", "by": {"code": "51", "limit": 10_000}}
    assert record.step("charge").attempts == 1


@pytest.mark.parametrize(
    ("named", "policy"),
    [
        ("Whatever", retry(5, nonRetryableErrors=["Whatever"])),
        ("ValidationError", TRIED_FIVE_TIMES),
    ],
)
async def test_what_no_policy_retries(polyglot: Stack, named: str, policy: dict[str, Any]) -> None:
    """The types that a policy names, and those that are never retried, hold for Go's too."""
    given = {"type": named, "message": "no", "retryable": True, "times": 1}
    error, _ = await polyglot.run_failing(
        definition(step("charge", "go.fail", input=given, retryPolicy=policy))
    )
    assert error.type == named


@pytest.mark.parametrize(
    ("how", "kind", "code", "details"),
    [
        ("plain", "ApplicationError", None, None),
        ("canceled", "wrapError", None, None),
        ("panic", "PanicError", None, None),
        ("bytes", "Odd", None, "<2 bytes>"),
        ("proto", "Odd", None, 'workflow_id: "known to Python"\n'),
        ("unreadable", "Odd", None, "<1 bytes of binary/secret>"),
        ("code", "Odd", "51", {"code": 51}),
        ("null", "O\ufffddd", None, "\ufffd"),
        ("big", "Odd", None, "<details of 300002 bytes>"),
    ],
)
async def test_odd_failures(
    polyglot: Stack, how: str, kind: str, code: str | None, details: Any
) -> None:
    """Whatever a worker fails with is an error of its step, and on record."""
    error, record = await polyglot.run_failing(
        definition(step("odd", "go.fail-oddly", input=how, retryPolicy=retry(1)))
    )
    found = record.step("odd").error
    assert found is not None
    assert (error.type, found.type, found.code) == (kind, kind, code)
    assert found.details == details


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        ("nan", "OutputError", "not_a_number"),
        ("broken", "OutputError", "invalid_json"),
        ("deep", "OutputError", "too_deep"),
        ("unreadable", "OutputError", None),
        ("bytes", "OutputError", None),
        ("large", "PayloadTooLarge", None),
        ("huge", "PayloadTooLarge", None),
    ],
)
async def test_an_output_that_cannot_be_used(
    polyglot: Stack, how: str, kind: str, code: str | None
) -> None:
    """It fails the step, with a sentence; the run goes on to its end."""
    error, record = await polyglot.run_failing(
        definition(step("odd", "go.answer-oddly", input=how, retryPolicy=retry(1)))
    )
    found = record.step("odd").error
    assert found is not None
    assert (error.type, found.type, found.code) == (kind, kind, code)


async def test_an_output_that_does_not_even_get_to_the_server(polyglot: Stack) -> None:
    """Over 4 MiB its worker cannot say anything: the attempt's time ends it."""
    odd = step("odd", "go.answer-oddly", input="enormous", retryPolicy=retry(1))
    error, record = await polyglot.run_failing(definition({**odd, "attemptTimeout": "PT2S"}))
    assert error.type == "TimeoutError"
    assert record.step("odd").status == "timeout"


@pytest.mark.parametrize(
    ("how", "output"),
    [
        ("nothing", {"value": None}),
        ("proto", {"workflowId": "a", "runId": "b"}),
        ("null", {"text": "a\ufffdb"}),
    ],
)
async def test_unusual_outputs(polyglot: Stack, how: str, output: Any) -> None:
    """Nothing, a protocol buffer, and a text that Postgres cannot keep."""
    result, record = await polyglot.run(definition(step("odd", "go.answer-oddly", input=how)))
    assert result == output
    assert record.step("odd").output == output


async def test_its_timeouts(polyglot: Stack) -> None:
    """Silence ends an attempt, whatever its last heartbeat said; the next one succeeds."""
    result, record = await polyglot.run(
        definition(step("slow", "go.silent", heartbeatTimeout="PT1S", retryPolicy=retry(9)))
    )
    assert result["attempt"] > 1
    assert record.step("slow").attempts == result["attempt"]
    error, record = await polyglot.run_failing(
        definition(step("slow", "go.silent", heartbeatTimeout="PT1S", retryPolicy=retry(1)))
    )
    assert error.type == "TimeoutError"
    slow = record.step("slow")
    assert slow.status == "timeout"
    assert slow.error is not None
    assert slow.error.message == "the task did not answer within the heartbeat timeout"


async def test_a_timeout_that_is_not_retried(polyglot: Stack) -> None:
    """A policy that names TimeoutError means those of other languages as well."""
    policy = retry(2, nonRetryableErrors=["TimeoutError"])
    error, _ = await polyglot.run_failing(
        definition(step("slow", "go.silent", heartbeatTimeout="PT1S", retryPolicy=policy))
    )
    assert error.type == "TimeoutError"


async def test_cancelling_reaches_it(polyglot: Stack) -> None:
    """Its next heartbeat tells it; the run ends when it has ended."""
    document = definition(step("beat", "go.beat", heartbeatTimeout="PT10S"))
    handle = await polyglot.start(document)
    await polyglot.recorded(handle, lambda record: ("beat", "active") in record.statuses())
    await _begun(handle)
    await handle.cancel()
    await polyglot.end(handle)
    record = await polyglot.record(handle)
    assert record.instance.status == "cancelled"
    assert record.statuses() == [("beat", "cancelled")]
    kinds = {event.event_type async for event in handle.fetch_history_events()}
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED in kinds


async def test_a_timeout_of_the_step_cancels_it_in_branches(polyglot: Stack) -> None:
    """The step fails when its time is up, the branch's task is told to stop."""
    error, record = await polyglot.run_failing(
        definition(
            step(
                "both",
                timeout="PT2S",
                parallelBranches=[
                    branch("a", step("beat", "go.beat", heartbeatTimeout="PT10S")),
                    branch("b", step("quick", "go.echo", input={"ok": True})),
                ],
            )
        )
    )
    assert error.type == "TimeoutError"
    assert record.step("both/a/beat").status == "cancelled"
    quick = record.step("both/b/quick")
    assert (quick.status, quick.input, quick.output) == ("completed", {"ok": True}, {"ok": True})


async def test_items(polyglot: Stack) -> None:
    """Each item is on record with its input and output, a failed one with its error."""
    failing = {"retryable": True, "type": "Odd", "message": "no"}
    result, record = await polyglot.run(
        definition(
            step(
                "each",
                "go.echo",
                forEach={"items": "${input.items}", "maxConcurrency": 2},
                input={"n": "${item}"},
                output={"all": "${output}"},
            ),
            step(
                "some",
                "go.fail",
                forEach={"items": [1, 0], "toleratedFailures": 1},
                input={**failing, "times": "${item}"},
                retryPolicy=retry(2),
            ),
        ),
        {"items": [1, 2, 3]},
    )
    assert result == {"value": [{"attempt": 2}, None]}
    for index in range(3):
        item = record.step(f"each#{index}")
        value = {"n": index + 1}
        assert (item.status, item.input, item.output) == ("completed", value, value)
        assert item.completed_at is not None
    tried, spent = record.step("some#0"), record.step("some#1")
    assert (tried.status, tried.attempts) == ("completed", 2)
    assert (spent.status, spent.attempts, spent.attempt_records) == ("failed", 2, [])
    assert spent.error is not None
    assert (spent.error.type, spent.error.attempts) == ("Odd", 2)


async def test_compensations(polyglot: Stack) -> None:
    """Compensations are on record with input and output, or with the error, and are retried."""
    undo = {"type": "Odd", "message": "no", "retryable": True, "times": 1}
    error, record = await polyglot.run_failing(
        definition(
            step("one", "go.echo", input={"n": 1}, compensation={"taskId": "go.echo"}),
            step(
                "two",
                "go.echo",
                input={"n": 2},
                compensation={"taskId": "go.fail", "input": undo, "retryPolicy": retry(3)},
            ),
            step(
                "three",
                "go.echo",
                input={"n": 3},
                compensation={
                    "taskId": "go.fail",
                    "input": {**undo, "times": 0},
                    "retryPolicy": retry(2),
                },
            ),
            step("fail", "core.fail", input={"errorType": "Stop", "message": "stop"}),
        )
    )
    assert error.type == "Stop"
    one, two, three = (record.step(f"{name}@compensation") for name in ("one", "two", "three"))
    assert (one.status, one.input, one.output) == ("completed", {"n": 1}, {"n": 1})
    assert (two.status, two.input, two.output) == ("completed", undo, {"attempt": 2})
    assert (three.status, three.error and three.error.type) == ("failed", "Odd")
    assert three.attempts == 2
    assert all(each.completed_at for each in (one, two, three))
    assert [record.step(name).compensated for name in ("one", "two", "three")] == [
        True, True, False,
    ]  # fmt: skip


async def test_replayed_and_continued(stack: Stack, catalogue: str) -> None:
    """Without a cache, and continued as a new run after every step, nothing is different."""
    fails_once = {"type": "Odd", "message": "no", "retryable": True, "times": 1}
    document = definition(
        step("one", "go.echo", input={"n": 1}),
        step(
            "both",
            parallelBranches=[
                branch("a", step("two", "go.fail", input=fails_once, retryPolicy=retry(3))),
                branch("b", step("three", "test.echo", input={"n": 3})),
            ],
        ),
        step("each", "go.echo", forEach={"items": [1, 2, 3]}, input={"n": "${item}"}),
    )
    changes: dict[str, Any] = {"max_cached_workflows": 0, "history_limit": 1}
    async with stack.worker(catalogue=[catalogue], **changes) as continued:
        result, record = await continued.run(document)
    assert result == {"value": [{"n": 1}, {"n": 2}, {"n": 3}]}
    assert {status for _, status in record.statuses()} == {"completed"}
    assert [record.step(path).attempts for path in ("one", "both/a/two", "each#2")] == [1, 2, 1]


async def test_without_any_worker_it_waits(polyglot: Stack) -> None:
    """The record says that the step is active, with its input; the step's timeout ends it."""
    document = definition(step("lost", "nobody.serves", input={"n": 1}))
    handle = await polyglot.start(document)
    record = await polyglot.recorded(handle, lambda record: record.statuses() != [])
    assert record.statuses() == [("lost", "active")]
    assert record.step("lost").input == {"n": 1}
    assert record.instance.current_step_id == "lost"
    await handle.cancel()
    await polyglot.end(handle)
    assert (await polyglot.record(handle)).statuses() == [("lost", "cancelled")]
    error, record = await polyglot.run_failing(
        definition(step("lost", "nobody.serves", timeout="PT5S"))
    )
    assert error.type == "TimeoutError"
    lost = record.step("lost")
    assert (lost.status, lost.attempts) == ("timeout", 0)
    assert lost.error is not None
    assert lost.error.message.startswith("no worker took the task from the task queue go-")


async def _begun(handle: Handle) -> None:
    """Returns when some worker has begun the activity that is under way."""

    async def look() -> bool:
        description = await handle.describe()
        pending = description.raw_description.pending_activities
        return any(one.last_heartbeat_time.seconds for one in pending)

    await until(look)
