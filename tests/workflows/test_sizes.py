"""Big values beside each other: whatever they are together, no run stops for good because of them.

Temporal takes at most 2 MiB as one payload and 4 MiB as one answer to a workflow task. A worker
that sends more is refused, and would try the same again for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from definitions.references import KEY
from tests.workflows.big import TASKS
from tests.workflows.documents import definition

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workflows.stack import Stack

BIG = 700_000


def _bytes(step_id: str, count: int = BIG, **more: Any) -> dict[str, Any]:
    return {"stepId": step_id, "taskId": "test.bytes", "input": {"count": count}, **more}


async def test_local_answers_do_not_share_a_workflow_task(stack: Stack) -> None:
    """Eight local tasks in a row answer with 700 kB each; the run goes on through all of them."""
    steps = [
        _bytes(f"s{index}", output={"n": index}) | {"taskId": "test.bytes-local"}
        for index in range(8)
    ]
    result, record = await stack.run(definition(*steps))
    assert result == {"n": 7}
    assert len(record.attempts("s7")) == 1


async def test_big_inputs_side_by_side(stack: Stack) -> None:
    """Twelve items take 500 kB each at once, 6 MB together, and answer as much."""
    each = {
        "stepId": "each",
        "taskId": "test.echo",
        "forEach": {"items": "${input.items}", "maxConcurrency": 12},
        "input": {"text": "${data.text}", "n": "${item}"},
        "output": {"n": "${output.size()}"},
    }
    made = _bytes("made", 500_000)
    result, record = await stack.run(definition(made, each), {"items": list(range(12))})
    assert result == {"n": 12}
    assert sum(path.startswith("each#") for path, _ in record.statuses()) == 12


@pytest.mark.parametrize("part", ["message", "type", "code", "details", "cause"])
async def test_an_error_is_heard_of_however_long_it_is(stack: Stack, part: str) -> None:
    """What no answer has room for is cut; the step fails as itself, and at once."""
    failing = {"stepId": "a", "taskId": "big.error", "input": {part: 5_000_000}}
    async with stack.worker(tasks=TASKS) as served:
        error, record = await served.run_failing(definition(failing))
    kept = record.step("a").error
    assert kept is not None
    assert str(error.type) == kept.type
    assert set(kept.type) <= {"T", "…"}
    assert record.attempt_statuses("a") == ["failed"]
    assert len(kept.message) <= 16 * 1024
    assert len(kept.type) <= 255
    assert len(kept.code or "") <= 255
    if part == "details":
        assert kept.details == "<details of 5000009 bytes>"
    [told] = [one for one in record.events if one.event_type == "workflow.failed"]
    assert len(told.event_data["data"]["workflow"]["error_message"]) <= 16 * 1024


async def test_details_of_nearly_1_mib_are_kept(stack: Stack) -> None:
    """They stand in the error of the step and in that of the run."""
    failing = {"stepId": "a", "taskId": "big.error", "input": {"details": 1_000_000}}
    async with stack.worker(tasks=TASKS) as served:
        error, record = await served.run_failing(definition(failing))
    assert error.type == "T"
    kept = record.step("a").error
    assert kept is not None
    assert kept.details == {"text": "x" * (1_000_000 - 2)}


async def test_what_is_carried_has_a_limit(stack: Stack) -> None:
    """The step whose output would make the run too big fails, and the run can handle that."""
    steps = [
        _bytes("first", output={"a": "${output.text}"}),
        _bytes(
            "second",
            output={"b": "${output.text + '!'}"},
            onFailure={"action": "continue", "nextStepId": "small"},
        ),
        _bytes("never", 1),
        {"stepId": "small", "taskId": "core.wait", "input": {"duration": "PT0.01S"}},
    ]
    result, record = await stack.run(definition(*steps))
    assert result == {}
    second = record.step("second")
    assert second.error is not None
    assert second.error.type == "PayloadTooLarge"
    assert ("small", "completed") in record.statuses()
    assert ("never", "completed") not in record.statuses()


@pytest.mark.parametrize("limit", [1, 3000])
async def test_one_value_in_many_places_counts_once(stack: Stack, limit: int) -> None:
    """A text of 1 MB that several steps and branches hand on is carried once, also by a new run."""
    branches = [
        {"branchId": name, "steps": [{"stepId": f"hold-{name}", "taskId": "core.noop"}]}
        for name in ("a", "b", "c")
    ]
    steps = [
        _bytes("made", 1_000_000),
        {"stepId": "fork", "taskId": "core.noop", "parallelBranches": branches, "output": {}},
        {"stepId": "pass", "taskId": "test.echo", "input": {"text": "${data.text}"}},
        {"stepId": "end", "taskId": "core.noop", "output": {"n": "${data.text.size()}"}},
    ]
    async with stack.worker(history_limit=limit) as own:
        result, _ = await own.run(definition(*steps))
    assert result == {"n": 1_000_000}


@pytest.mark.parametrize("limit", [1, 3000])
async def test_with_a_store_there_is_room_for_everything(
    stack: Stack, tmp_path: Path, limit: int
) -> None:
    """What the run has no room for is stored, and a later task gets all of it."""
    letters = "abcdef"
    steps = [
        {
            "stepId": letter,
            "taskId": "big.object",
            "input": {letter: BIG},
            "output": {letter: f"${{output.{letter}}}"},
        }
        for letter in letters
    ]
    measure = {
        "stepId": "measure",
        "taskId": "big.measure",
        "input": {letter: f"${{data.{letter}}}" for letter in letters},
    }
    async with stack.worker(tasks=TASKS, payloads=str(tmp_path), history_limit=limit) as own:
        result, record = await own.run(definition(*steps, measure))
    assert result["size"] > len(letters) * BIG
    assert record.attempts("a")[0].output == {"a": "a" * (BIG - 2)}
    assert list(record.attempts("f")[0].output["f"]) == [KEY]
