"""``steploom audit``: what it prints of real chains, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.identity import org_id
from tests.docs import blocks
from tests.integration.facts import DEFAULT, audit, facts, run_ref, started
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from adapters.postgres.database import Database

#: The first two runs' events happened long ago, and are of executions that were cleaned away.
AGE = """
SET session_replication_role = replica;
UPDATE audit_unsealed AS u SET recorded_at = '2001-01-01' FROM audit_events AS e
WHERE e.event_id = u.event_id AND e.event_data->'data'->'workflow'->>'execution_id' < 'exec-r2';
UPDATE audit_events SET recorded_at = '2001-01-01', event_timestamp = '2001-01-01'
WHERE event_data->'data'->'workflow'->>'execution_id' < 'exec-r2';
DELETE FROM workflow_instances WHERE execution_id < 'exec-r2'
"""

ROOT = Path(__file__).parents[2]
ACME = org_id("acme")


@pytest.fixture
async def written(database: Database, database_url: str) -> str:
    """Two orgs: three runs of the one that ended, another's that began."""
    await PostgresDefinitionStore(database).create_org("acme")
    recorder = PostgresRecorder(database)
    for number, outcome in enumerate(("success", "failed", "success")):
        ref = run_ref(f"r{number}", workflow_id="refund" if number else "order")
        end = audit(ref, 10 + number, "workflow.completed", outcome=outcome)
        await recorder.write(started(ref))
        await recorder.write(facts(ref, audit(ref, number, "workflow.started"), end))
    theirs = run_ref("theirs", ACME)
    await recorder.write(facts(theirs, audit(theirs, 1, "workflow.started")))
    await recorder.close()
    return database_url


async def steploom(url: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "steploom", *args],
        cwd=ROOT,
        env={**os.environ, "STEPLOOM_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


async def answer(url: str, *args: str, code: int = 0) -> Any:
    done = await steploom(url, *args, "--output", "json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


async def test_seal_and_verify(written: str) -> None:
    """What waits is told, then sealed; the head that is printed is taken by ``--expect``."""
    [before] = await answer(written, "audit", "verify")
    assert (before["whole"], before["sealed"], before["unsealed"]) == (True, 0, 6)
    assert before["unsealedSince"] is not None
    assert await answer(written, "audit", "seal") == [
        {"org": "acme", "sealed": 1},
        {"org": "default", "sealed": 6},
    ]
    theirs, ours = await answer(written, "audit", "verify", "--org", "all")
    assert (theirs["org"], theirs["sealed"], ours["org"], ours["sealed"]) == (
        "acme", 1, "default", 6,
    )  # fmt: skip
    assert ours["broken"] is ours["unsealedSince"] is None
    await answer(written, "audit", "verify", "--expect", ours["head"])
    refused = await steploom(written, "audit", "verify", "--expect", "abc")
    assert (refused.returncode, refused.stdout) == (2, "")
    refused = await steploom(written, "audit", "verify", "--org", "all", "--expect", ours["head"])
    assert refused.returncode == 2


async def test_a_broken_chain_is_exit_code_1(written: str) -> None:
    """With the position, the event and what is wrong, for people and for programs."""
    await answer(written, "audit", "seal")
    [seal] = as_administrator(
        written, "SELECT * FROM audit_seals WHERE org_id = %s AND position = 4", DEFAULT
    )
    as_administrator(
        written,
        "SET session_replication_role = replica; UPDATE audit_events SET event_type = 'x'"
        " WHERE event_id IN (SELECT event_id FROM audit_seals WHERE position = 4)",
    )
    theirs, ours = await answer(written, "audit", "verify", "--org", "all", code=1)
    assert theirs["whole"] is True
    message = "the event is not what it was when it was sealed"
    assert ours["broken"] == {
        "damage": "event_changed",
        "position": 4,
        "eventId": str(seal["event_id"]),
        "message": message,
    }
    told = await steploom(written, "audit", "verify")
    assert told.returncode == 1
    assert f"default: broken at position 4, event {seal['event_id']}: {message}" in told.stdout
    [block] = blocks("json", "verdict")
    shown = json.loads(block.text)
    assert shown.keys() == ours.keys()
    assert shown["broken"].keys() == ours["broken"].keys()


async def test_events_are_listed_by_what_is_asked_for(written: str) -> None:
    """Type, definition, execution, time and org, alone and together; newest first, in pages."""

    async def found(*args: str) -> list[tuple[str, str]]:
        page = await answer(written, "audit", "list", *args)
        facts_of = [(one, one["eventData"]["data"]["workflow"]) for one in page["items"]]
        return [(one["eventType"], workflow["execution_id"]) for one, workflow in facts_of]

    every = await found()
    assert [name for name, _ in every] == ["workflow.completed"] * 3 + ["workflow.started"] * 3
    assert await found("--type", "workflow.started", "--workflow", "order") == [
        ("workflow.started", "exec-r0")
    ]
    assert await found("--execution", "exec-r1", "--since", "2026-01-01T12:00:05Z") == [
        ("workflow.completed", "exec-r1")
    ]
    assert await found("--until", "2026-01-01T12:00:01") == [("workflow.started", "exec-r0")]
    assert await found("--org", "acme") == [("workflow.started", "exec-theirs")]
    pages: list[list[str]] = []
    after = None
    while after is not None or not pages:
        more: list[str] = [] if after is None else ["--after", after]
        page = await answer(written, "audit", "list", "--limit", "4", *more)
        pages.append([one["eventId"] for one in page["items"]])
        after = page["next"]
    assert [len(page) for page in pages] == [4, 2]
    assert len({one for page in pages for one in page}) == 6


async def test_the_events_of_an_execution_that_is_cleaned_away(written: str) -> None:
    """They are found by its name all the same."""
    as_administrator(written, "DELETE FROM workflow_instances")
    page = await answer(written, "audit", "list", "--execution", "exec-r2")
    assert len(page["items"]) == 2


async def test_prune(written: str, tmp_path: Path) -> None:
    """What would go, what went, what is left; and ``verify`` says where the chain begins."""
    as_administrator(written, AGE)
    await answer(written, "audit", "seal")
    asked = ("audit", "prune", "--older-than", "P9Y", "--org", "default")
    [would] = await answer(written, *asked, "--dry-run")
    assert (would["dryRun"], would["removed"], would["archived"]) == (True, 4, 0)
    [whole] = await answer(written, "audit", "verify")
    assert (whole["sealed"], whole["anchor"]) == (6, None)
    archive = str(tmp_path / "archive")
    [done] = await answer(written, *asked, "--archive", archive, "--as", "auditor@example.com")
    assert done == {
        **would, "dryRun": False, "archived": 1, "archivedBytes": done["archivedBytes"],
        "before": done["before"],
    }  # fmt: skip
    assert done["kept"] == {"reason": "younger", "position": 5, "executionId": "exec-r2"}
    await answer(written, "audit", "seal")
    [left] = await answer(written, "audit", "verify", "--expect", done["anchor"])
    assert (left["whole"], left["sealed"], left["anchor"]["position"]) == (True, 3, 4)
    told = await steploom(written, "audit", "verify")
    assert f"default: whole, 3 sealed\n  head {left['head']}\n" in told.stdout
    assert "\n  the chain begins after link 4, pruned on " in told.stdout
    assert f" by auditor@example.com\n  anchor {done['anchor']}\n" in told.stdout
    page = await answer(written, "audit", "list", "--type", "audit.pruned")
    [block] = blocks("json", "pruned")
    shown, [event] = json.loads(block.text), page["items"]
    assert shown.keys() == event["eventData"].keys()
    assert shown["data"]["audit"].keys() == event["eventData"]["data"]["audit"].keys()
    listed = await steploom(written, "audit", "list", "--limit", "1")
    assert "auditor@example.com" in listed.stdout
    [recipe] = [one for one in blocks("python") if one.page.name == "audit-retention.md"]
    read = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", recipe.text, f"{archive}/default/audit"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert read.stdout == f"whole, up to {done['anchor']}\n"
    # No database is asked for this.
    offline = ("audit", "verify", "--archive", archive)
    [found] = await answer("postgresql://nobody@127.0.0.1:1/none", *offline, "--org", "all")
    assert found == {
        "org": "default", "whole": True, "first": 1, "sealed": 4, "head": done["anchor"],
        "broken": None,
    }  # fmt: skip
    told = await steploom(written, *offline)
    assert told.stdout == (
        f"default: whole, 4 sealed\n  head {done['anchor']}\n  in the archive from link 1 on\n"
    )
    assert (await steploom(written, *offline, "--org", "acme")).returncode == 3
    await answer(written, *offline, "--expect", f"{left['head']}", code=1)


async def test_prune_says_what_it_keeps(written: str) -> None:
    """In words, for all orgs; without an age it is not understood, and a broken chain is exit 1."""
    as_administrator(written, AGE)
    await answer(written, "audit", "seal")
    pruned = await steploom(written, "audit", "prune", "--older-than", "3650")
    assert pruned.returncode == 0, pruned.stderr
    kept = "  Kept from here on: the event at position {} is younger."
    acme, kept_of_acme, default, kept_of_default, begins = pruned.stdout.splitlines()
    assert acme.startswith("acme: removed 0 audit events of before ")
    assert kept_of_acme == kept.format(1)
    assert default.startswith("default: removed 4 audit events of before ")
    assert kept_of_default == kept.format(5)
    assert begins.startswith("  The chain begins after ")
    again = await steploom(written, "audit", "prune", "--older-than", "PT0S")
    execution = "is of an execution that is on record (exec-r2)"
    assert f"  Kept from here on: the event at position 5 {execution}." in again.stdout
    for wrong in ((), ("--older-than", "soon")):
        assert (await steploom(written, "audit", "prune", *wrong)).returncode == 2
    as_administrator(
        written,
        "SET session_replication_role = replica; UPDATE audit_events SET event_type = 'x'"
        " WHERE event_id IN (SELECT event_id FROM audit_seals WHERE position = 6)",
    )
    as_administrator(written, "DELETE FROM workflow_instances")
    [theirs, ours] = await answer(written, "audit", "prune", "--older-than", "0", code=1)
    assert (theirs["removed"], ours["removed"]) == (0, 0)
    assert ours["kept"] == {"reason": "damaged", "position": 6, "executionId": None}
