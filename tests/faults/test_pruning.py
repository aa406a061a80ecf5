"""Pruning whose commits are answered with an error, or whose connections are cut."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

from adapters.postgres.audit import Audit
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import UnreachableError
from steploom.operations.archive import Archive
from steploom.operations.auditing import verify
from steploom.operations.pruning import Pruning
from tests.faults.proxy import LossyProxy
from tests.integration.facts import DEFAULT, audit, facts, run_ref
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 120


async def test_whoever_starts_it_again_loses_nothing(database_url: str, tmp_path: Path) -> None:
    """All but the last link go, told of once and archived; the chain holds at each stop."""
    async with Database(database_url) as database:
        recorder = PostgresRecorder(database)
        for number in range(EVENTS):
            ref = run_ref(f"r{number}")
            await recorder.write(facts(ref, audit(ref, number, "workflow.started")))
        await recorder.close()
        as_administrator(
            database_url,
            "DELETE FROM workflow_instances; SET session_replication_role = replica;"
            " UPDATE audit_events SET event_timestamp = '2001-01-01', recorded_at = '2001-01-01'",
        )
        assert await AuditSealer(database).seal_all(DEFAULT) == EVENTS
        org = await PostgresDefinitionStore(database).find_org("default")
        proxy, stops, gone = LossyProxy(database_url, one_in=5, seed=4711), 0, False
        async with proxy.serving() as url:
            while not gone:
                try:
                    async with Database(url, pool_size=2, as_owner=True) as lossy:
                        await Pruning(
                            database=lossy, archive=Archive(tmp_path), older_than="P9Y", by="x",
                            dry_run=False, say=lambda _: None, portion=7,
                        ).run([org])  # fmt: skip
                    gone = True
                except UnreachableError:
                    stops += 1
                    assert (await verify(Audit(database), org)).broken is None
        assert (stops > 0, proxy.lost > 0) == (True, True)
        await AuditSealer(database).seal_all(DEFAULT)
        verdict = await verify(Audit(database), org)
        events = await Audit(database).list_events(DEFAULT, event_type="audit.pruned")
    assert verdict.broken is None
    assert verdict.anchor is not None
    assert verdict.anchor.position == EVENTS - 1
    told = [one.event_data["data"]["audit"]["removed"] for one in events.items]
    assert (sum(told), verdict.sealed) == (EVENTS - 1, 1 + len(told))
    assert _archived(tmp_path) == set(range(1, EVENTS))


def _archived(folder: Path) -> set[int]:
    return {
        json.loads(line)["position"]
        for file in folder.rglob("*.gz")
        for line in gzip.decompress(file.read_bytes()).splitlines()[1:]
    }
