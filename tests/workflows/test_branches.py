"""Parallel branches and ``forEach``: what runs side by side, and how it ends together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import Stack, soon, until
from tests.workflows.tasks import gate


async def test_branches_run_side_by_side(stack: Stack) -> None:
    """Both are under way at once; the step's output holds the last output of each."""
    left, right = gate("plain-left"), gate("plain-right")
    handle = await stack.start(
        definition(
            step(
                "fork",
                "test.echo",
                input={"own": 1},
                parallelBranches=[
                    branch(
                        "left",
                        step("l1", "test.gate", input={"gate": "plain-left"}),
                        step("l2", "test.echo", input={"l": "${data.gate}"}),
                    ),
                    branch("right", step("r1", "test.gate", input={"gate": "plain-right"})),
                ],
            ),
            step("after", "test.echo", input={"seen": "${steps.l1.status}"}),
            output={"fork": "${steps.fork.output}", "after": "${steps.after.output}"},
        )
    )
    await soon(left.entered)
    await soon(right.entered)
    left.open.set()
    right.open.set()
    assert await stack.result(handle) == {
        "fork": {"own": 1, "left": {"l": "plain-left"}, "right": {"gate": "plain-right"}},
        "after": {"seen": "completed"},
    }
    record = await stack.record(handle)
    assert sorted(record.statuses()) == [
        ("after", "completed"),
        ("fork", "completed"),
        ("fork/left/l1", "completed"),
        ("fork/left/l2", "completed"),
        ("fork/right/r1", "completed"),
    ]
    for path in ("fork/left/l1", "fork/left/l2", "fork/right/r1", "fork", "after"):
        assert record.step(path).started_at is not None
        assert record.step(path).completed_at is not None
    assert record.step("fork/left/l1").step_id == "l1"


async def test_a_branch_sees_the_data_of_the_fork_and_its_own(stack: Stack) -> None:
    """Not its sibling's; variables are shared."""
    result, _ = await stack.run(
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch(
                        "a",
                        step("a1", "test.echo-local", input={"mine": "a"}),
                        step("a2", "core.set", input={"fromA": "${data.mine}"}),
                        step("a3", "test.echo"),
                    ),
                    branch(
                        "b", step("b1", "test.echo", input={"mine": "b"}), step("b2", "test.echo")
                    ),
                ],
            ),
            output={"fork": "${steps.fork.output}", "variables": "${variables}"},
        ),
        {"common": True},
    )
    assert result["fork"] == {
        "a": {"common": True, "mine": "a"},
        "b": {"common": True, "mine": "b"},
    }
    assert result["variables"] == {"fromA": "a"}


async def test_a_failing_branch_cancels_its_sibling(stack: Stack) -> None:
    """The sibling's task is told, awaited, and on record as cancelled; then the step fails."""
    slow = gate("sibling")
    handle = await stack.start(
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch("slow", step("s1", "test.gate", input={"gate": "sibling"}), step("s2")),
                    branch(
                        "bad",
                        step("b1", "test.gate", input={"gate": "sibling-bad"}),
                        step("b2", "core.fail", input={"errorType": "Bad"}),
                    ),
                ],
            ),
            step("never"),
        )
    )
    await soon(slow.entered)
    gate("sibling-bad").open.set()
    error = await stack.failure(handle)
    assert error.type == "Bad"
    assert slow.cancelled.is_set()
    record = await stack.record(handle)
    assert sorted(record.statuses()) == [
        ("fork", "failed"),
        ("fork/bad/b1", "completed"),
        ("fork/bad/b2", "failed"),
        ("fork/slow/s1", "cancelled"),
    ]
    assert record.attempt_statuses("fork/slow/s1") == ["cancelled"]
    assert record.step("fork/slow/s1").completed_at is not None


async def test_a_failure_that_a_branch_handles_is_its_own_affair(stack: Stack) -> None:
    """The sibling goes on."""
    result, record = await stack.run(
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch(
                        "handled",
                        step(
                            "h1",
                            "test.fail",
                            retryPolicy=retry(1),
                            onFailure={"action": "continue", "nextStepId": "h2"},
                        ),
                        step("h2", "test.echo", input={"was": "${error.type}"}),
                    ),
                    branch("other", step("o1", "test.echo", input={"x": 1})),
                ],
            )
        )
    )
    assert result == {"handled": {"was": "GatewayError"}, "other": {"x": 1}}
    assert record.step("fork/handled/h1").status == "failed"
    assert record.step("fork").status == "completed"


async def test_branches_within_branches(stack: Stack) -> None:
    """Paths name the whole way; a failure deep inside cancels everything beside it."""
    deep = gate("deep-sibling")

    def document(task: dict[str, Any]) -> dict[str, Any]:
        return definition(
            step(
                "outer",
                parallelBranches=[
                    branch("a", step("a1", "test.gate", input={"gate": "deep-sibling"})),
                    branch(
                        "b",
                        step(
                            "inner",
                            parallelBranches=[branch("x", task), branch("y", step("y1"))],
                        ),
                    ),
                ],
            )
        )

    handle = await stack.start(
        document(step("x1", "test.gate", input={"gate": "deep-x"}, output={"x": 1}))
    )
    await soon(deep.entered)
    deep.open.set()
    gate("deep-x").open.set()
    assert await stack.result(handle) == {
        "a": {"gate": "deep-sibling"},
        "b": {"x": {"x": 1}, "y": {}},
    }
    record = await stack.record(handle)
    assert record.step("outer/b/inner/x/x1").output == {"x": 1}
    assert {status for _, status in record.statuses()} == {"completed"}

    deep.open.clear()
    deep.entered.clear()
    failing = step("x1", "test.remember", input={"type": "Deep", "retryable": False})
    failing = document(failing)
    failing["steps"][0]["parallelBranches"][1]["steps"].insert(
        0, step("b0", "test.gate", input={"gate": "deep-b0"})
    )
    handle = await stack.start(failing)
    await soon(deep.entered)
    gate("deep-b0").open.set()
    error = await stack.failure(handle)
    assert error.type == "Deep"
    assert error.details[0]["stepId"] == "x1"
    record = await stack.record(handle)
    assert dict(record.statuses()) == {
        "outer": "failed",
        "outer/a/a1": "cancelled",
        "outer/b/b0": "completed",
        "outer/b/inner": "failed",
        "outer/b/inner/x/x1": "failed",
        "outer/b/inner/y/y1": "completed",
    }


@pytest.mark.parametrize("task_id", ["test.echo", "test.echo-local", "test.echo-sync"])
async def test_for_each_runs_once_for_each_item(stack: Stack, task_id: str) -> None:
    """The results are in the items' order, each item has a record of its own."""
    result, record = await stack.run(
        definition(
            step(
                "each",
                task_id,
                forEach={"items": "${input.names}", "maxConcurrency": 2},
                input={"text": "${item}-${index}"},
                output={"all": "${output.map(one, one.text)}"},
            )
        ),
        {"names": ["a", "b", "c", "d", "e"]},
    )
    assert result == {"all": ["a-0", "b-1", "c-2", "d-3", "e-4"]}
    for index, name in enumerate("abcde"):
        item = record.step(f"each#{index}")
        assert item.status == "completed"
        assert item.step_id == "each"
        assert item.input == {"text": f"{name}-{index}"}
        assert item.output == {"text": f"{name}-{index}"}
        assert [one.status for one in item.attempt_records] == ["completed"]
    assert record.step("each").output == {"all": result["all"]}


async def test_for_each_keeps_its_limit(stack: Stack) -> None:
    """At most ``maxConcurrency`` items are under way."""
    here = gate("limit")
    handle = await stack.start(
        definition(
            step(
                "each",
                "test.gate",
                forEach={"items": [1, 2, 3, 4, 5], "maxConcurrency": 2},
                input={"gate": "limit"},
            )
        )
    )

    async def both() -> bool:
        return here.entries >= 2

    await until(both)
    record = await stack.recorded(handle, lambda record: len(record.steps) >= 3)
    assert sorted(record.statuses()) == [
        ("each", "active"),
        ("each#0", "active"),
        ("each#1", "active"),
    ]
    assert here.entries == 2
    here.open.set()
    result = await stack.result(handle)
    assert result == {"value": [{"gate": "limit"}] * 5}
    assert here.entries == 5


async def test_for_each_over_nothing_gives_nothing(stack: Stack) -> None:
    """An empty list, and no task."""
    result, record = await stack.run(
        definition(step("each", "test.echo", forEach={"items": "${input.none}"})), {"none": []}
    )
    assert result == {"value": []}
    assert record.statuses() == [("each", "completed")]


async def test_for_each_tolerates_so_many_failures(stack: Stack) -> None:
    """They leave ``null`` and an entry in ``steps.<id>.errors``."""
    result, record = await stack.run(
        definition(
            step(
                "each",
                "test.fail",
                forEach={"items": "${input.times}", "toleratedFailures": 1},
                input={"times": "${item}", "then": "${index}"},
                retryPolicy=retry(2),
            ),
            output={"raw": "${steps.each.output.value}", "errors": "${steps.each.errors}"},
        ),
        {"times": [0, 9, 1]},
    )
    assert result["raw"] == [0, None, 2]
    (failure,) = result["errors"]
    assert (failure["index"], failure["type"], failure["attempts"]) == (1, "GatewayError", 2)
    statuses = [str(record.step(f"each#{index}").status) for index in range(3)]
    assert statuses == ["completed", "failed", "completed"]
    assert record.attempt_statuses("each#2") == ["failed", "completed"]


async def test_for_each_fails_beyond_its_tolerance(stack: Stack) -> None:
    """With the error of that item; the rest are cancelled."""
    here = gate("intolerant")
    handle = await stack.start(
        definition(
            step(
                "each",
                forEach={"items": ["wait", "fail"]},
                parallelBranches=[
                    branch(
                        "b",
                        step(
                            "choose",
                            next=[
                                {"nextStepId": "hold", "condition": "item == 'wait'"},
                                {"nextStepId": "hold-bad"},
                            ],
                        ),
                        step("hold", "test.gate", input={"gate": "intolerant"}, next=[]),
                        step("hold-bad", "test.gate", input={"gate": "intolerant-bad"}),
                        step("fail", "core.fail", input={"errorType": "Bad${index}"}),
                    )
                ],
            )
        )
    )
    await soon(here.entered)
    gate("intolerant-bad").open.set()
    error = await stack.failure(handle)
    assert error.type == "Bad1"
    record = await stack.record(handle)
    assert here.cancelled.is_set()
    assert record.step("each").status == "failed"
    assert record.step("each#1").status == "failed"
    assert record.step("each#0").status == "cancelled"
    holds = [one for one in record.steps if one.step_id == "hold"]
    assert [str(one.status) for one in holds] == ["cancelled"]
