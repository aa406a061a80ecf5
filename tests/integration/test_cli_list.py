"""``steploom list`` reads Postgres alone: every filter, and pages by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.identity import org_id
from definitions.statuses import InstanceStatus
from tests.integration.facts import facts, flush, run_ref, started
from tests.integration.test_cli_audit import answer, steploom

if TYPE_CHECKING:
    from adapters.postgres.database import Database


@pytest.fixture
async def written(database: Database, database_url: str) -> str:
    """Six runs, a second apart, and one of another org."""
    await PostgresDefinitionStore(database).create_org("acme")
    recorder = PostgresRecorder(database)
    for number in range(6):
        ref = run_ref(f"r{number}", workflow_id="refund" if number % 2 else "order")
        await recorder.write(started(ref, number, correlation_id=f"c{number // 2}"))
        if number < 3:
            await recorder.write(facts(ref, flush(10, InstanceStatus.COMPLETED)))
    await recorder.write(started(run_ref("theirs", org_id("acme")), 3))
    await recorder.close()
    return database_url


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ([], ["r5", "r4", "r3", "r2", "r1", "r0"]),
        (["--status", "completed"], ["r2", "r1", "r0"]),
        (["--workflow", "refund"], ["r5", "r3", "r1"]),
        (["--status", "running", "--workflow", "refund"], ["r5", "r3"]),
        (["--correlation-id", "c1"], ["r3", "r2"]),
        (["--since", "2026-01-01T12:00:04Z"], ["r5", "r4"]),
        (["--until", "2026-01-01T12:00:02Z"], ["r1", "r0"]),
        (["--since", "2026-01-01T12:00:01", "--until", "2026-01-01T13:00:03+01:00"], ["r2", "r1"]),
        (["--since", "1h"], []),
        (["--org", "acme"], ["theirs"]),
    ],
    ids=" ".join,
)
async def test_a_filter(written: str, args: list[str], found: list[str]) -> None:
    """Alone and together; the newest first, of the org alone."""
    page = await answer(written, "list", *args)
    assert [one["executionId"] for one in page["items"]] == [f"exec-{name}" for name in found]


async def test_pages_hold_each_once(written: str) -> None:
    """``--after`` goes on behind a page, with its filters."""
    page = await answer(written, "list", "--limit", "2")
    seen = page["items"]
    while page["next"] is not None:
        page = await answer(written, "list", "--limit", "2", "--after", page["next"])
        assert len(page["items"]) == 2
        seen += page["items"]
    assert [one["executionId"] for one in seen] == [
        f"exec-r{number}" for number in range(5, -1, -1)
    ]


@pytest.mark.parametrize("args", [["--since", "soon"], ["--until", "7x"], ["--after", "here"]])
async def test_a_time_that_is_none(written: str, args: list[str]) -> None:
    """Exit code 2, with the option and an example."""
    done = await steploom(written, "list", *args)
    assert done.returncode == 2
    assert repr(args[1]) in done.stderr
