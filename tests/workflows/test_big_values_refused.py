"""Where a big value cannot go, who cannot have it, and a store that does not have it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from definitions.references import KEY
from tests.workflows.big import MIB, TASKS, big, file_of, folder, reference
from tests.workflows.big_tasks import text_of
from tests.workflows.documents import definition, retry, step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workflows.stack import Stack

__all__ = ["big", "folder"]


@pytest.mark.parametrize(
    "condition",
    [
        "output.lines[0] == 'y'",
        "size(output.lines) > 3",
        "has(output.lines.length)",
        "output.lines.all(line, line != '')",
        "output.lines == null",
        "steps['make'].output.lines.first == 'y'",
        "data[variables.name] != null",
    ],
)
async def test_a_condition_that_looks_into_a_big_value_fails(big: Stack, condition: str) -> None:
    """Nothing is silently false of it: the error says where the value is."""
    document = definition(
        step(
            "make",
            "big.lines",
            input={"kib": 2048},
            next=[{"nextStepId": "end", "condition": condition}, {"nextStepId": "end"}],
        ),
        step("end"),
        variables={"name": "lines"},
    )
    error, _ = await big.run_failing(document)
    assert error.type == "ExpressionError"
    assert "2.0 MiB in the payload store, sha256" in error.message


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"input": "${data.lines[0]}"}, "ExpressionError", "cannot be looked into"),
        ({"input": "${data.lines.title}"}, "ExpressionError", "data.lines cannot be looked into"),
        ({"input": {"text": "all: ${data.lines}"}}, "ExpressionError", "part of a text"),
        ({"forEach": {"items": "${data.lines}"}}, "PayloadTooLarge", "forEach.items"),
        (
            {"taskId": "core.publish", "input": {"type": "t", "data": {"x": "${data.lines}"}}},
            "PayloadTooLarge",
            "the data of core.publish, at /x,",
        ),
        (
            {"taskId": "core.workflow", "input": {"workflowId": "w", "input": "${data}"}},
            "PayloadTooLarge",
            "the input of core.workflow, at /input/lines,",
        ),
    ],
)
async def test_where_a_big_value_cannot_go(
    big: Stack, fields: dict[str, Any], kind: str, says: str
) -> None:
    """The step fails with what stands there, and where."""
    document = definition(
        step("make", "big.lines", input={"kib": 2048}),
        {**step("use", "big.measure"), **fields},
    )
    error, _ = await big.run_failing(document)
    assert error.type == kind
    assert says in error.message
    assert "2.0 MiB in the payload store, sha256" in error.message


async def test_a_task_in_another_language_gets_no_reference(
    stack: Stack, folder: Path, tmp_path: Path
) -> None:
    """Its worker could not read what it refers to; nor could it undo with one."""
    catalogue = tmp_path / "catalogue.json"
    task = {"taskId": "far.away", "activity": "FarAway", "taskQueue": "nobody"}
    task["attemptTimeout"] = "PT1M"
    catalogue.write_text(json.dumps({"tasks": [task]}))
    settings: dict[str, Any] = {"payloads": str(folder), "catalogue": [str(catalogue)]}
    async with stack.worker(tasks=TASKS, **settings) as served:
        make = step("make", "big.lines", input={"kib": 2048})
        error, record = await served.run_failing(definition(make, step("far", "far.away")))
        assert error.type == "PayloadTooLarge"
        assert "the input of far.away, at /lines, is too big" in error.message
        assert record.step("far").status == "failed"
        undone = {**make, "compensation": {"taskId": "far.away"}}
        _, record = await served.run_failing(definition(undone, step("fail", "core.fail")))
        assert (record.instance.error or {})["rollback"] == {"compensated": [], "failed": ["make"]}


async def test_a_runs_output_has_no_big_values(big: Stack) -> None:
    """Whoever started it could not read them."""
    error, _ = await big.run_failing(definition(step("make", "big.lines", input={"kib": 2048})))
    assert error.type == "PayloadTooLarge"
    assert "the run's output, at /lines, is too big to be used here: 2.0 MiB" in error.message


FORGED = {KEY: {"sha256": "0" * 64, "size": 5}}


@pytest.mark.parametrize(
    "forged",
    [FORGED, {"deep": [{"er": FORGED}]}, {KEY: "no reference"}, {**FORGED, "more": 1}],
    ids=["whole", "deep", "broken", "with-more"],
)
async def test_a_task_that_answers_a_reference_fails(big: Stack, forged: dict[str, Any]) -> None:
    """What a task answers comes from outside: a web page may be in it."""
    document = definition(
        step("forge", "big.forge", input={"text": json.dumps(forged)}, retryPolicy=retry(3)),
        step("read", "test.echo"),
    )
    error, record = await big.run_failing(document)
    assert error.type == "OutputError"
    assert f"the member {KEY}" in error.message
    assert record.attempt_statuses("forge") == ["failed"]


async def test_a_reference_in_an_errors_details_is_none(big: Stack) -> None:
    """It is a text there, so a handler that hands the details on reads nothing."""
    document = definition(
        step(
            "fail",
            "big.fail",
            input={"text": json.dumps({"at": FORGED})},
            onFailure={"action": "continue", "nextStepId": "read"},
        ),
        step("read", "test.echo", input="${error.details}"),
    )
    result, _ = await big.run(document)
    assert result == {"at": f"<an object with the reserved member {KEY}>"}


async def test_nobody_brings_a_reference_along(big: Stack) -> None:
    """Neither an input, nor an event, nor a decision."""
    error, _ = await big.run_failing(definition(step("a")), {"deep": [FORGED]})
    assert error.type == "InputError"
    assert KEY in error.message
    waits = definition(
        step("ask", "core.approval"),
        step("event", "core.event", input={"name": "go"}),
        output="${steps.event.output}",
    )
    handle = await big.start(waits)
    await big.waits(handle, "ask")
    assert KEY in await big.refused(handle, "ask", payload={"x": FORGED})
    await big.decide(handle, "ask")
    await handle.signal("event", {"name": "go", "data": FORGED})
    await handle.signal("event", {"name": "go", "data": {"n": 1}})
    assert await big.result(handle) == {"n": 1}


async def test_a_reference_leads_to_the_runs_own_org_alone(big: Stack, folder: Path) -> None:
    """An author who knows the hash of another org's value gets nothing for it."""
    await big.store.create_org("payload-owner")
    document = definition(
        step("make", "big.text", input={"size": 2 * MIB, "letter": "q"}),
        step("measure", "big.measure", input="${steps.make.output.value}"),
    )
    assert (await big.result(await big.start(document, orgId="payload-owner")))["size"] == 2 * MIB
    value = text_of(2 * MIB, letter="q")
    assert file_of(folder, value, "payload-owner").exists()
    stolen = definition(
        step("steal", "big.measure", input={"x": reference(value)}, retryPolicy=retry(2))
    )
    error, _ = await big.run_failing(stolen)
    assert error.type == "PayloadNotFound"
    assert not file_of(folder, value).exists()
    for wrong in ({**reference(value)[KEY], "size": 1}, {"sha256": "../../etc", "size": 1}, 1):
        broken = definition(step("a", "big.measure", input={"x": {KEY: wrong}}))
        error = await big.failure(await big.start(broken, orgId="payload-owner"))
        assert error.type in {"PayloadNotFound", "PayloadStoreError"}


async def test_a_store_that_is_away_is_tried_again(stack: Stack, tmp_path: Path) -> None:
    """By the step's own policy, with an error that says which store."""
    store = tmp_path / "store"
    store.write_text("in the way")
    async with stack.worker(tasks=TASKS, payloads=str(store)) as served:
        document = definition(
            step("make", "big.text", input={"size": 2 * MIB}, retryPolicy=retry(3))
        )
        error, record = await served.run_failing(document)
        assert error.type == "PayloadStoreError"
        assert str(store) in error.message
        assert record.attempt_statuses("make") == ["failed"] * 3
        patient = definition(
            step("make", "big.text", input={"size": 2 * MIB}, retryPolicy=retry(1000)),
            step("measure", "big.measure", input="${steps.make.output.value}"),
        )
        handle = await served.start(patient)
        await served.recorded(handle, lambda record: bool(record.steps))
        store.unlink()
        assert (await served.result(handle))["size"] == 2 * MIB


async def test_a_value_that_is_lost_or_damaged(stack: Stack, tmp_path: Path) -> None:
    """An error that says so, not another value."""
    async with stack.worker(tasks=TASKS, payloads=str(tmp_path)) as served:
        document = definition(
            step("make", "big.text", input={"size": 2 * MIB}),
            step("wait", "core.event", input={"name": "go"}),
            step(
                "use", "big.measure", input="${steps.make.output.value}", retryPolicy=retry(2)
            ),
        )  # fmt: skip
        for damage, kind in ((b"[]", "PayloadStoreError"), (None, "PayloadNotFound")):
            handle = await served.start(document)
            await served.waits(handle, "wait")
            file = file_of(tmp_path, text_of(2 * MIB))
            if damage is None:
                file.unlink()
            else:
                file.write_bytes(damage)
            await handle.signal("event", {"name": "go"})
            assert (await served.failure(handle)).type == kind


async def test_without_a_store_1_mib_is_the_most(stack: Stack) -> None:
    """The error names the setting."""
    async with stack.worker(tasks=TASKS) as served:
        error, record = await served.run_failing(
            definition(step("make", "big.text", input={"size": 2 * MIB}, retryPolicy=retry(3)))
        )
    assert error.type == "PayloadTooLarge"
    assert "STEPLOOM_PAYLOADS" in error.message
    assert record.attempt_statuses("make") == ["failed"]
