"""However a worker runs a definition, the same comes out.

Forced continue-as-new after every step, no cache (so that every workflow task replays the whole
history) and the sandbox change neither the result nor what is on record.
"""

from __future__ import annotations

import asyncio
import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from definitions.names import SIGNAL_EVENT, UPDATE_DECIDE, UPDATE_SKIP
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import DEFAULT, until

if TYPE_CHECKING:
    from definitions.views import StepView
    from tests.workflows.stack import Handle, Record, Stack

MODES: dict[str, dict[str, Any]] = {
    "no-cache": {"max_cached_workflows": 0},
    "always-continued": {"history_limit": 1},
    "unsandboxed": {"sandbox": False},
    "all": {"max_cached_workflows": 0, "history_limit": 1, "sandbox": False},
    "small-cache": {"max_cached_workflows": 1, "history_limit": 20},
}

NESTED = definition(
    step("first", "test.echo-local", input={"n": "${data.n * 2}"}),
    step(
        "fork",
        "test.echo",
        input={"own": True},
        parallelBranches=[
            branch(
                "deep",
                step("d1", "test.echo", input={"d": 1}),
                step(
                    "inner",
                    parallelBranches=[
                        branch("x", step("x1", "test.echo-local"), step("x2", "test.echo-sync")),
                        branch(
                            "y",
                            step("y1", "core.set", input={"fromY": "${data.d}"}),
                            step("y2", "core.wait", input={"duration": "PT0.2S"}),
                            step("y3", "test.echo", input={"y": "${variables.fromY}"}),
                        ),
                    ],
                ),
                step("d3", "test.echo", input={"inner": "${steps.inner.output.y}"}),
            ),
            branch(
                "each",
                step(
                    "items",
                    "test.fail",
                    forEach={
                        "items": "${input.times}",
                        "maxConcurrency": 2,
                        "toleratedFailures": 1,
                    },
                    input={"times": "${item}", "then": "${index}"},
                    retryPolicy=retry(2),
                    output={"numbers": "${output}"},
                ),
            ),
        ],
    ),
    step("after", "test.echo", input={"y": "${steps.y3.output.y}", "fork": "${data.each.numbers}"}),
    variables={"fromY": 0},
    output={"data": "${data}", "errors": "${steps.items.errors.map(one, one.index)}"},
)

LOOP = definition(
    step("start", "core.set", input={"round": 0}),
    step("count", "core.set", input={"round": "${variables.round + 1}"}),
    step("work", "test.echo", input={"seen": "${variables.round}"}),
    step(
        "local",
        "test.echo-local",
        input={"twice": "${data.seen * 2}"},
        next=[
            {"nextStepId": "count", "condition": "variables.round < 4"},
            {"nextStepId": "flaky", "condition": "data.twice == 8"},
            {"nextStepId": "never"},
        ],
    ),
    step("never", "core.fail"),
    step(
        "flaky",
        "test.fail",
        input={"type": "Busy", "code": "1", "times": 2, "then": {"done": True}},
        retryPolicy=retry(3),
    ),
    step("pause", "core.wait", input={"duration": "PT1S"}),
    step(
        "fails",
        "test.fail-local",
        input={"type": "Gone", "code": "404"},
        retryPolicy=retry(2),
        onFailure={"errorHandler": {"conditions": [{"errorCode": "404", "nextStepId": "rescue"}]}},
    ),
    step("skipped"),
    step("rescue", "test.echo", input={"of": "${error.type}", "tries": "${error.attempts}"}),
    variables={"round": 0},
)

PEOPLE = definition(
    step("before", "test.echo", input={"x": 1}),
    step("ask", "core.approval", input={"approvers": ["ann", "bob"], "approvalsRequired": 2}),
    step(
        "reviews",
        parallelBranches=[
            branch(
                "legal",
                step("l1", "test.echo", input={"l": 1}),
                step("legal-ok", "core.approval", input={"onRejected": "continue"}),
                step("l3", "test.echo", input={"was": "${steps['legal-ok'].output.decision}"}),
            ),
            branch("wait", step("w1", "core.wait", input={"duration": "PT1S"}), step("w2")),
        ],
    ),
    step("late", "core.approval", timeout="PT1S", onFailure={"action": "continue"}),
    step("end", "test.echo", input={"by": "${steps.ask.output.approver}"}),
    output={"end": "${data.by}", "legal": "${steps.l3.output.was}", "error": "${error.type}"},
)

ROLLED_BACK = definition(
    step(
        "reserve",
        "test.echo",
        input={"id": "r"},
        compensation={"taskId": "test.echo", "input": {"undo": "${output.id}"}},
    ),
    step(
        "items",
        "test.echo-local",
        forEach={"items": ["a", "b"], "maxConcurrency": 1},
        input={"item": "${item}"},
        compensation={"taskId": "test.echo-local"},
    ),
    step("set", "core.set", input={"v": 1}, compensation={"taskId": "core.noop"}),
    step(
        "bad",
        "test.echo",
        input={"id": "b"},
        compensation={"taskId": "test.fail", "retryPolicy": retry(2)},
    ),
    step(
        "fork",
        parallelBranches=[
            branch(
                "inside",
                step("i1", "test.echo", input={"i": 1}, compensation={"taskId": "test.echo"}),
                step("i2", "core.approval"),
                step("i3", "core.fail", input={"errorType": "Boom", "errorCode": "7"}),
            ),
            branch(
                "other",
                step("o1", "test.echo"),
                step("o2", "core.approval", input={"approvalsRequired": 2}),
            ),
        ],
    ),
)

UNWOUND = definition(
    step("a", "test.echo", input={"x": 1}),
    step("b", next=[{"nextStepId": "c", "condition": "data.x > 1"}]),
    step("c"),
    step("global", "test.echo", input={"saw": "${error.type} ${error.stepId}"}),
    step(
        "d",
        next=[{"nextStepId": "e", "condition": "data.missing"}],
        onFailure={"action": "continue", "nextStepId": "e"},
    ),
    step("e", "test.echo", input={"saw": "${error.type}"}),
    onFailure={"action": "continue", "nextStepId": "global"},
)

FLOWS = definition(
    step("publish", "core.publish", input={"type": "begun", "data": "${input}"}),
    step(
        "lost",
        "core.workflow",
        input={"workflowId": "no-such-workflow"},
        retryPolicy=retry(2, nonRetryableErrors=[]),
        onFailure={"action": "continue"},
    ),
    step("skipped", "core.wait", input={"duration": "P1D"}),
    step(
        "fork",
        parallelBranches=[
            branch(
                "a",
                step("e1", "core.event", input={"name": "n"}),
                step("p1", "core.publish", input={"type": "one", "data": "${data.n}"}),
                step("e2", "core.event", input={"name": "n"}),
            ),
            branch(
                "b",
                step(
                    "each",
                    "core.event",
                    forEach={"items": ["x", "y"]},
                    input={"name": "${item}"},
                ),
            ),
        ],
    ),
    output=[
        "${error.type}",
        "${steps.skipped.status}",
        "${steps.e1.output.n}",
        "${steps.e2.output.n}",
        "${steps.each.output.value}",
    ],
)

#: name: (definition, input, decisions in the order in which they are given)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = {
    "nested": (NESTED, {"n": 3, "times": [0, 5, 1, 0]}, []),
    "loop": (LOOP, {}, []),
    "people": (
        PEOPLE,
        {},
        [
            {"stepId": "ask", "decision": "approved", "approver": "ann"},
            {"stepId": "ask", "decision": "approved", "approver": "bob", "comment": "yes"},
            {"stepId": "reviews/legal/legal-ok", "decision": "rejected", "approver": "eve"},
        ],
    ),
    "rolled-back": (
        ROLLED_BACK,
        {},
        [
            # Two approvals, so that both branches are where they should be when one fails.
            {"stepId": "fork/other/o2", "decision": "approved", "approver": "ann"},
            {"stepId": "fork/inside/i2", "decision": "approved", "approver": "bob"},
        ],
    ),
    "flows": (
        FLOWS,
        {},
        [
            {"event": {"name": "n", "data": {"n": 1}}},
            {"event": {"name": "y", "data": 2}},
            {"skip": {"stepId": "skipped", "actor": "ops@example.com"}},
            {"event": {"name": "x", "data": 3}},
            {"event": {"name": "n", "data": {"n": 4}}},
        ],
    ),
    "unwound": (UNWOUND, {}, []),
}


async def outcome(stack: Stack, case: str) -> dict[str, Any]:
    """Everything about a run that has to be the same every time."""
    document, given, decisions = CASES[case]
    handle = await stack.start(document, given)
    for decision in decisions:
        if "event" in decision:
            await handle.signal(SIGNAL_EVENT, decision["event"])
        elif "skip" in decision:
            await give(stack, handle, decision["skip"], UPDATE_SKIP)
        else:
            await give(stack, handle, decision)
    cause = await stack.end(handle)
    if cause is None:
        result = await stack.result(handle)
    else:
        assert isinstance(cause, ApplicationError)
        result = {"type": cause.type, "message": cause.message, "all": cause.details}
    record = await stack.record(handle)
    actions = await stack.reader.actions(DEFAULT, record.instance.id)
    published = await stack.reader.outbox(DEFAULT, record.instance.id)
    return {
        "result": result,
        "actions": [[one.action, one.actor, one.path, one.data.get("name")] for one in actions],
        "published": [{"type": one.event_type, "data": one.envelope["data"]} for one in published],
        **normalised(record),
    }


async def give(
    stack: Stack, handle: Handle, decision: dict[str, Any], update: str = UPDATE_DECIDE
) -> None:
    """Gives a decision as soon as the step waits for it."""
    await stack.waits(handle, decision["stepId"])

    async def accepted() -> bool:
        try:
            await handle.execute_update(update, decision)
        except WorkflowUpdateFailedError as error:
            # The record can be ahead of the run: without a cache, a run whose local activity has
            # written that it waits is evicted, and gets there once more a moment later.
            said = str(error.cause)
            early = ("does not wait", "not begun", "does not run", "neither waits nor runs")
            if any(one in said for one in early):
                return False
            raise
        return True

    await until(accepted)


def normalised(record: Record) -> dict[str, Any]:
    """A record without its times and ids. Branches have no order among each other."""
    main = [one for one in record.steps if "/" not in one.path and "#" not in one.path]
    state = record.instance.state or {}
    text = json.dumps(
        {
            "status": record.instance.status,
            "current": record.instance.current_step_id,
            "output": record.instance.output,
            "error": record.instance.error,
            "variables": state.get("variables"),
            "seen": state.get("steps"),
            "path": [[one.path, one.iteration] for one in main],
            "ended": [one.path for one in sorted(main, key=attrgetter("seq"))],
            "steps": {f"{one.path} {one.iteration}": _step(one) for one in record.steps},
            "events": [one.event_data["data"]["workflow"] for one in record.events],
        },
        default=str,
    )
    return dict(_without_times(json.loads(text)))


def _step(one: StepView) -> dict[str, Any]:
    return {
        "status": one.status,
        "task": one.task_id,
        "name": one.name,
        "input": one.input,
        "output": one.output,
        "error": one.error.to_json() if one.error else None,
        "attempts": one.attempts,
        "decision": one.decision.to_json() if one.decision else None,
        "votes": [vote.to_json() for vote in one.votes],
        "compensated": one.compensated,
        "tried": [
            [attempt.status, attempt.input, attempt.output, attempt.error and attempt.error.type]
            for attempt in one.attempt_records
        ],
    }


_TIMES = {"eventId", "startedAt", "completedAt", "decidedAt", "duration_ms", "execution_id"}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(one) for name, one in value.items() if name not in _TIMES}
    if isinstance(value, list):
        return [_without_times(one) for one in value]
    return value


_EXPECTED: dict[str, dict[str, Any]] = {}


async def expected(stack: Stack, case: str) -> dict[str, Any]:
    """The outcome on the shared worker, made once."""
    if case not in _EXPECTED:
        _EXPECTED[case] = await outcome(stack, case)
    return _EXPECTED[case]


async def test_the_definitions_do_what_they_are_for(stack: Stack) -> None:
    """So that the other tests compare more than failures."""
    nested, loop, people, rolled_back, flows, unwound = await asyncio.gather(
        *(expected(stack, case) for case in CASES)
    )
    assert nested["result"]["errors"] == [1]
    assert nested["result"]["data"]["fork"] == [0, None, 2, 3]
    assert loop["result"] == {"of": "Gone", "tries": 2}
    assert loop["steps"]["flaky 1"]["attempts"] == 3
    assert [path for path, _ in loop["path"]].count("work") == 4
    assert people["result"] == {"end": "bob", "legal": "rejected", "error": "TimeoutError"}
    assert rolled_back["result"]["type"] == "Boom"
    assert rolled_back["error"]["rollback"] == {
        "compensated": ["fork/inside/i1", "set", "items#1", "items#0", "reserve"],
        "failed": ["bad"],
    }
    assert flows["result"] == ["DefinitionNotFound", "skipped", 1, 4, [3, 2]]
    assert [one["type"] for one in flows["published"]] == ["begun", "one"]
    assert [one[0] for one in flows["actions"]].count("event") == 4
    assert unwound["result"] == {"saw": "ExpressionError"}


@pytest.mark.parametrize("mode", MODES)
async def test_the_outcome_is_the_same(stack: Stack, mode: str) -> None:
    """Result, statuses, decisions, attempts, votes and events, case by case."""
    async with stack.worker(**MODES[mode]) as other:
        got = await asyncio.gather(*(outcome(other, case) for case in CASES))
    for case, one in zip(CASES, got, strict=True):
        want = await expected(stack, case)
        for part, value in want.items():
            assert one[part] == value, (case, part)
