"""Values over 1 MiB: they go from task to task by reference, and neither history has them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from definitions.identity import org_id
from definitions.outputs import MAX_VALUE_BYTES, json_text
from definitions.references import KEY, PayloadReference
from tests.postgres import as_administrator
from tests.workflows.big_tasks import text_of
from tests.workflows.documents import definition, step
from tests.workflows.stack import DEFAULT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.workflows.stack import Handle, Stack

TASKS = ["tests.workflows.tasks", "tests.workflows.big_tasks"]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers of this file keep big values."""
    return tmp_path_factory.mktemp("payloads")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def big(stack: Stack, folder: Path) -> AsyncIterator[Stack]:
    """A worker with a payload store in files."""
    async with stack.worker(tasks=TASKS, payloads=str(folder)) as served:
        yield served


def reference(value: Any) -> dict[str, Any]:
    """What stands for a value."""
    text = json_text(value).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    return PayloadReference(sha256=sha256, size=len(text)).to_json()


def file_of(folder: Path, value: Any, org: str = "default") -> Path:
    """Where a value is stored."""
    sha256 = hashlib.sha256(json_text(value).encode()).hexdigest()
    return folder / str(org_id(org)) / sha256[:2] / f"{sha256}.json"


async def history_of(stack: Stack, handle: Handle) -> str:
    """The whole history as JSON text."""
    return (await handle.fetch_history()).to_json()


async def test_a_document_goes_through_three_tasks(big: Stack, folder: Path) -> None:
    """5 MiB, changed on their way: the history and the record have references of 130 bytes."""
    document = definition(
        step("make", "big.lines", input={"kib": 5 * 1024}),
        step("upper", "big.upper"),
        step("measure", "big.measure", input="${data.lines}"),
        output={"size": "${data.size}", "title": "${data.title}", "begins": "${data.begins}"},
    )
    handle = await big.start(document)
    lines = ["y" * 1021] * 5 * 1024
    assert await big.result(handle) == {
        "size": len(json_text(lines)),
        "title": "all of it",
        "begins": "['" + "Y" * 38,
    }
    record = await big.record(handle)
    stored = reference(lines)
    assert record.step("make").output == {"title": "all of it", "lines": stored}
    assert record.step("upper").input == {"title": "all of it", "lines": stored}
    assert record.attempts("upper")[0].input == {"title": "all of it", "lines": stored}
    capitals = ["Y" * 1021] * 5 * 1024
    assert record.step("upper").output["lines"] == reference(capitals)
    assert json.loads(file_of(folder, lines).read_bytes()) == lines
    assert len(await history_of(big, handle)) < 64 * 1024
    rows = as_administrator(
        big.url, "SELECT * FROM payloads WHERE instance_id = %s ORDER BY size", record.instance.id
    )
    assert {row["sha256"] for row in rows} == {
        one[KEY]["sha256"] for one in (stored, reference(capitals))
    }
    assert {row["org_id"] for row in rows} == {DEFAULT}
    assert {row["size"] for row in rows} == {len(json_text(lines))}


@pytest.mark.parametrize("task", ["big.text", "big.local"])
async def test_up_to_1_mib_a_value_stays_where_it_is(big: Stack, task: str) -> None:
    """As the step's output, exactly 1 MiB is handed on as it is; one byte more is stored."""
    most = MAX_VALUE_BYTES - len('{"value":}')
    for size, is_stored in ((most - 1, False), (most, False), (most + 1, True)):
        document = definition(
            step("make", task, input={"size": size}),
            step("measure", "big.measure", input="${steps.make.output.value}"),
        )
        result, record = await big.run(document)
        assert result["size"] == size
        expected = reference(text_of(size)) if is_stored else text_of(size)
        assert record.step("make").output == {"value": expected}
        assert record.step("make").wrapped
