"""What operators do to executions, against servers and a worker that really run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.e2e.live import Live

#: Waits for an event, then for a person.
SETTLEMENT: dict[str, Any] = {
    "workflowId": "settlement",
    "name": "Settlement",
    "version": "1.0.0",
    "inputSchema": {"properties": {"amount": {"type": "number"}}, "required": ["amount"]},
    "steps": [
        {"stepId": "paid", "taskId": "core.event", "input": {"name": "payment.settled"}},
        {
            "stepId": "check",
            "taskId": "core.noop",
            "next": [
                {"nextStepId": "tell", "condition": "input.amount < 1000"},
                {"nextStepId": "wrong"},
            ],
        },
        {
            "stepId": "wrong",
            "taskId": "core.fail",
            "input": {"errorType": "TooMuch", "message": "it is too much"},
        },
        {
            "stepId": "tell",
            "taskId": "core.publish",
            "input": {"type": "order.settled", "data": "${steps.paid.output}"},
        },
        {"stepId": "approve", "taskId": "core.approval", "input": {"title": "All well?"}},
        {"stepId": "done", "taskId": "core.noop", "output": {"settled": "${steps.paid.output}"}},
    ],
}
PARENT: dict[str, Any] = {
    "workflowId": "household",
    "name": "Household",
    "version": "1.0.0",
    "steps": [
        {
            "stepId": "buy",
            "taskId": "core.workflow",
            "input": {"workflowId": "order", "input": {"amount": "${input.amount}"}},
        }
    ],
}


@pytest.fixture(scope="module")
def stack(live: Live) -> Live:
    """The running stack, with the definitions of these tests."""
    live.write("settlement.json", SETTLEMENT)
    live.write("household.json", PARENT)
    live.steploom("register", "settlement.json", "household.json")
    return live


def _start(stack: Live, amount: float = 5, definition: str = "settlement") -> str:
    name = f"{definition}-{uuid4().hex[:8]}"
    stack.steploom("start", definition, "-i", f'{{"amount": {amount}}}', "--id", name)
    return name


def _waiting(stack: Live, amount: float = 5) -> str:
    name = _start(stack, amount)
    stack.wait_for(name, "waiting")
    return name


def _wait_at(stack: Live, name: str, path: str) -> None:
    """Returns when the step waits."""
    deadline = time.monotonic() + 30
    while not stack.rows(
        "SELECT 1 FROM workflow_steps AS s JOIN workflow_instances AS i ON i.trace_id = s.trace_id"
        " WHERE i.execution_id = %s AND s.path = %s AND s.status = 'waiting'",
        name,
        path,
    ):
        assert time.monotonic() < deadline, stack.steploom("show", name).stdout
        time.sleep(0.1)


def _count(stack: Live) -> int:
    found: int = stack.row("SELECT count(*) AS runs FROM workflow_instances")["runs"]
    return found


def test_pause_send_and_resume(stack: Live) -> None:
    """A paused execution takes its event and starts nothing new; all of it is on record."""
    name = _waiting(stack)
    told = stack.steploom("pause", name, "--reason", "the bank is down", "--as", "ann").stdout
    assert told.startswith(f"{name} is paused: what runs finishes, nothing new starts.")
    assert f"Next: steploom resume {name}" in told
    assert stack.json("pause", name) == [{"executionId": name, "action": "pause", "changed": False}]
    assert stack.json("show", name)["status"] == "suspended"
    explained = stack.steploom("explain", name).stdout
    assert "waits for the event payment.settled" in explained
    assert "is paused (asked for by ann at " in explained

    args = ("send", name, "payment.settled", "--data", '{"id": 7}', "--id", "p-1")
    sent = stack.json(*args)
    assert sent == {
        "executionId": name, "name": "payment.settled", "data": {"id": 7}, "id": "p-1",
        "served": True,
    }  # fmt: skip
    stack.steploom(*args)
    stack.steploom("resume", name, "--as", "ben")
    assert "was not paused" in stack.steploom("resume", name).stdout
    _wait_at(stack, name, "approve")
    stack.steploom("approve", name, "--as", "ann")
    shown = stack.wait_for(name, "completed")
    assert shown["output"] == {"settled": {"id": 7}}
    done = [(one["action"], one["actor"], one["reason"]) for one in shown["actions"]]
    assert done == [
        ("pause", "ann", "the bank is down"), ("event", None, None), ("resume", "ben", None),
    ]  # fmt: skip
    [published] = shown["published"]
    assert published["envelope"]["data"] == {"id": 7}
    text = stack.steploom("show", name).stdout
    assert "the bank is down" in text
    assert "the event payment.settled (id p-1) came, and a step took it" in text
    assert "published order.settled" in text


def test_an_event_that_comes_early_is_kept(stack: Live) -> None:
    """Whatever JSON an event carries, null included."""
    name = _waiting(stack)
    stack.steploom("send", name, "payment.refunded", "--data", "null")
    stack.write("event.json", [1, 2])
    stack.steploom("send", name, "payment.settled", "--data", "@event.json")
    _wait_at(stack, name, "approve")
    shown = stack.json("show", name)
    assert [one["data"] for one in shown["actions"]] == [
        {"name": "payment.refunded", "reception": "kept"},
        {"name": "payment.settled", "reception": "taken"},
    ]
    assert shown["steps"][0]["output"] == {"value": [1, 2]}
    assert "is kept until a step waits for it" in stack.steploom("show", name).stdout
    stack.steploom("cancel", name)


def test_skip(stack: Live) -> None:
    """The execution goes on from the step; who did it and why is told everywhere."""
    name = _waiting(stack)
    error = stack.steploom("skip", name, "done", "-o", "json", code=5).error
    assert f"{name} refuses to skip done: done neither waits nor runs" in error["message"]
    assert error["hint"] == f"`steploom show {name}` tells where it stands"
    answer = stack.json("skip", name, "paid", "--reason", "paid in cash", "--as", "ann")
    assert answer == {"executionId": name, "stepId": "paid", "accepted": True}
    _wait_at(stack, name, "approve")
    told = stack.steploom("skip", name, "approve").stdout
    assert told.startswith(f"approve of {name} is skipped.")
    shown = stack.wait_for(name, "completed")
    assert [(one["path"], one["status"]) for one in shown["steps"]] == [
        ("paid", "skipped"), ("check", "completed"), ("tell", "completed"),
        ("approve", "skipped"), ("done", "completed"),
    ]  # fmt: skip
    assert "skipped by ann at " in stack.steploom("show", name).stdout
    explained = stack.steploom("explain", name, "paid").stdout
    assert "saying “paid in cash”" in explained
    assert "paid → check because an operator skipped it" in explained
    drawn = stack.steploom("definitions", "graph", "settlement", "--execution", name).stdout
    assert "skipped" in drawn
    assert (
        "completed already"
        in stack.steploom("skip", name, "paid", "-o", "json", code=5).error["message"]
    )


def test_several_at_once(stack: Live) -> None:
    """What can be done is done; what cannot is named, with its exit code."""
    first, second = _waiting(stack), _waiting(stack)
    assert [one["changed"] for one in stack.json("pause", first, second)] == [True, True]
    done = stack.steploom(
        "cancel", first, "nothing-like-it", second, "--reason", "twice", "--as", "ann (ops)",
        "-o", "json", code=3,
    )  # fmt: skip
    assert [one["executionId"] for one in done.json] == [first, second]
    assert "'nothing-like-it' not found" in done.error["message"]
    for name in (first, second):
        shown = stack.wait_for(name, "cancelled")
        asked = shown["actions"][-1]
        assert (asked["action"], asked["actor"], asked["reason"]) == ("cancel", "ann ops", "twice")
        assert "(asked for by ann ops at " in stack.steploom("explain", name).stdout
    error = stack.steploom("cancel", first, second, "-o", "json", code=5).error
    assert error["message"] == f"{first} is cancelled already; {second} is cancelled already"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["pause", "nothing-like-it"], 3, "not found"),
        (["resume", "nothing-like-it"], 3, "not found"),
        (["skip", "nothing-like-it", "paid"], 3, "not found"),
        (["send", "nothing-like-it", "payment.settled"], 3, "not found"),
        (["rerun", "nothing-like-it", "--from", "paid"], 3, "not found"),
        (["list", "--origin", "nothing-like-it"], 3, "not found"),
        (["send", "x", "n" * 256], 2, "could not read"),
        (["send", "x", "payment.settled", "--data", "{"], 2, "--data is no JSON"),
        (["pause", "x", "--reason", "r" * 4097], 2, "could not read"),
        (["cancel", "x", "--as", "a" * 256], 2, "could not read"),
        (["skip", "x", "s" * 256], 2, "could not read"),
        (["rerun", "x", "--from", "paid", "--input", "[]"], 2, "--input has to be a JSON object"),
        (["rerun", "x", "--from", "f" * 256], 2, "the start object is unusable"),
    ],
)
def test_bad_input(stack: Live, args: list[str], code: int, words: str) -> None:
    """Refused with its exit code, one sentence, and the next thing to try."""
    error = stack.steploom(*args, "--output", "json", code=code).error
    assert words in error["message"]
    assert error["hint"]


def test_too_much_data(stack: Live) -> None:
    """Refused before Temporal hears of it: a signal has no answer."""
    stack.write("huge.json", "x" * 300_000)
    error = stack.steploom("send", "x", "a", "--data", "@huge.json", "-o", "json", code=2).error
    assert "at most 262144 are allowed" in error["message"]


def test_where_no_worker_is(stack: Live) -> None:
    """Who asks for an answer hears at once that nobody is there; the rest waits for a worker."""
    name = f"nobody-{uuid4().hex[:8]}"
    start = ("start", "settlement", "-i", '{"amount": 1}', "--id", name)
    stack.steploom(*start, "--task-queue", "nobody-serves-this")
    for args in (("pause", name), ("resume", name), ("skip", name, "paid")):
        error = stack.steploom(*args, "-o", "json", code=4).error
        assert f"no worker serves {name} now" in error["message"]
        assert "nothing was changed" in error["message"]
        assert "steploom worker" in error["hint"]
    sent = stack.steploom("send", name, "payment.settled")
    assert "it gets the event when one does" in sent.stderr
    stack.steploom("cancel", name)
    stack.temporal("workflow", "terminate", "--workflow-id", name)


def test_rerun(stack: Live) -> None:
    """A new execution from the step, with a new input; what came before is not done again."""
    name = _waiting(stack, 4000)
    error = stack.steploom("rerun", name, "--from", "check", "-o", "json", code=5).error
    assert "is running: it can be run again when it has ended" in error["message"]
    stack.steploom("send", name, "payment.settled", "--data", '{"id": 1}')
    stack.wait_for(name, "failed")

    before = _count(stack)
    rerun = ("rerun", name, "--from")
    for args, code, words in (
        (("nowhere",), 5, "nowhere is no step of the main path"),
        (("done",), 5, f"step done of {name} never ran"),
        (("check", "--input", '{"amount": "much"}'), 2, "nothing was started"),
        (("check", "--input", "{}"), 2, "nothing was started"),
    ):
        refused = stack.steploom(*rerun, *args, "-o", "json", code=code).error
        assert words in refused["message"]
        assert refused["hint"]
    assert _count(stack) == before

    again = stack.json(*rerun, "check", "--wait", code=1)
    assert again["error"]["type"] == "TooMuch", "the earlier input is kept"

    new = f"{name}-corrected"
    told = stack.steploom(
        *rerun, "check", "-i", '{"amount": 4}', "--id", new, "--reason", "a slip", "--as", "ann"
    ).stdout
    assert told.startswith(f"{new} started: settlement 1.0.0, from step check of {name}")
    _wait_at(stack, new, "approve")
    stack.steploom("approve", new)
    shown = stack.wait_for(new, "completed")
    assert shown["output"] == {"settled": {"id": 1}}
    assert [one["path"] for one in shown["steps"]] == ["check", "tell", "approve", "done"]
    assert shown["origin"]["kind"] == "rerun"
    assert (shown["origin"]["executionId"], shown["origin"]["path"]) == (name, "check")
    [asked] = shown["actions"]
    assert (asked["action"], asked["actor"], asked["reason"]) == ("rerun", "ann", "a slip")

    assert f"a rerun of {name} from step check" in stack.steploom("show", new).stdout
    assert f"a rerun of {name} from step check" in stack.steploom("explain", new).stdout
    earlier = stack.json("show", name)
    assert [one["executionId"] for one in earlier["related"]] == [again["executionId"], new]
    assert f"{new} (completed)" in stack.steploom("show", name).stdout
    assert (
        f"run again as {new} (settlement 1.0.0, completed)"
        in stack.steploom("explain", name).stdout
    )
    listed = stack.json("list", "--origin", name, "--status", "completed")["items"]
    assert [one["executionId"] for one in listed] == [new]
    used = stack.steploom(*rerun, "check", "--id", new, "-o", "json", code=5).error
    assert used["type"] == "ConflictError"


def test_child_executions(stack: Live) -> None:
    """The step says which execution it started, and that one where it came from."""
    name = _start(stack, 20.5, "household")
    shown = stack.wait_for(name, "completed")
    assert shown["output"] == {"charged": 20.5}
    [child] = shown["related"]
    assert child["executionId"] == f"{name}/buy"
    assert child["origin"]["path"] == "buy"
    text = stack.steploom("show", name).stdout
    assert f"ran {name}/buy (order 1.0.0, completed): steploom show {name}/buy" in text
    assert f"ran {name}/buy (order 1.0.0, completed)" in stack.steploom("explain", name).stdout
    below = stack.steploom("show", f"{name}/buy").stdout
    assert f"started by step buy of {name}" in below
    assert [one["executionId"] for one in stack.json("list", "--origin", name)["items"]] == [
        f"{name}/buy"
    ]


def test_a_step_is_on_record_while_its_child_runs(stack: Live) -> None:
    """So one can see where to look; who skips the step has the child cancelled."""
    step = {**PARENT["steps"][0], "input": {"workflowId": "settlement", "input": {"amount": 1}}}
    stack.write("slow.json", {**PARENT, "workflowId": "slow-household", "steps": [step]})
    stack.steploom("register", "slow.json")
    name = f"slow-{uuid4().hex[:8]}"
    stack.steploom("start", "slow-household", "--id", name)
    _wait_at(stack, f"{name}/buy", "paid")
    shown = stack.json("show", name)
    assert [(one["path"], one["status"]) for one in shown["steps"]] == [("buy", "active")]
    assert [(one["executionId"], one["status"]) for one in shown["related"]] == [
        (f"{name}/buy", "running")
    ]
    stack.steploom("skip", name, "buy")
    stack.wait_for(name, "completed")
    stack.wait_for(f"{name}/buy", "cancelled")


def test_definitions_that_run_each_other(stack: Live) -> None:
    """Together or one after the other: the one that closes the circle is refused."""
    step = {"stepId": "run", "taskId": "core.workflow"}
    one = {**PARENT, "workflowId": "egg", "steps": [{**step, "input": {"workflowId": "hen"}}]}
    other = {**PARENT, "workflowId": "hen", "steps": [{**step, "input": {"workflowId": "egg"}}]}
    stack.write("egg.json", one)
    stack.write("hen.json", other)
    error = stack.steploom("register", "egg.json", "hen.json", "-o", "json", code=2).error
    assert [(p["file"], p["code"]) for p in error["problems"]] == [
        ("egg.json", "workflow_cycle"), ("hen.json", "workflow_cycle"),
    ]  # fmt: skip
    done = stack.steploom("register", "egg.json")
    assert "unregistered_workflow warning: the definition hen is not registered" in done.stderr
    error = stack.steploom("register", "hen.json", "-o", "json", code=2).error
    assert "hen runs egg runs hen" in error["problems"][0]["message"]
    stack.write("hen.json", {**other, "steps": [{"stepId": "a", "taskId": "core.noop"}]})
    stack.steploom("register", "hen.json")
    misfit = {**step, "input": {"workflowId": "order", "input": {"amount": "much"}}}
    stack.write("misfit.json", {**PARENT, "workflowId": "misfit", "steps": [misfit]})
    done = stack.steploom("register", "misfit.json")
    assert "child_input_does_not_fit warning: order does not take this input" in done.stderr


def test_the_graph_of_a_document_given_inline(stack: Live) -> None:
    """It is not listed, but the execution knows it."""
    stack.write("inline.json", {**SETTLEMENT, "workflowId": "inline-only", "steps": [
        {"stepId": "only", "taskId": "core.noop"}]})  # fmt: skip
    run = stack.json("start", "--inline", "inline.json", "-i", '{"amount": 1}', "--wait")
    name = run["executionId"]
    drawn = stack.steploom("definitions", "graph", "inline-only", "--execution", name).stdout
    assert "only  [completed]" in drawn
    stack.steploom("definitions", "graph", "inline-only", code=3)
