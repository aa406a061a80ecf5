"""``steploom cleanup``: what goes, in which order, and what an interruption leaves."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import pytest_asyncio

from adapters.payloads.files import FilePayloads
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import RefusedError, SteploomError
from definitions.identity import org_id
from definitions.outputs import json_text
from definitions.redaction import make_redactor
from definitions.references import PayloadReference
from definitions.statuses import InstanceStatus, StepStatus
from definitions.validation.api import parse_definition
from steploom.operations.archive import MANIFEST, Archive
from steploom.operations.cleanup import Cleaned, Cleanup
from tests.integration.facts import (
    DEFAULT,
    NOON,
    action,
    attempt,
    audit,
    facts,
    flush,
    published,
    run_ref,
    started,
    step,
)
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from adapters.postgres.database import Database

#: A year after the executions of these tests.
NOW = NOON + timedelta(days=365)
OTHER = org_id("acme")
ROOT = Path(__file__).parents[2]


def big(letter: str) -> bytes:
    return json_text([letter * 1000]).encode()


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Site:
    """A database, a payload store below a folder, and who writes to both."""

    database: Database
    url: str
    recorder: PostgresRecorder
    store: FilePayloads
    folder: Path

    def stored(self, org: UUID = DEFAULT) -> set[str]:
        """The hashes in the store."""
        return {file.stem for file in (self.folder / "payloads" / str(org)).rglob("*.json")}

    def runs(self) -> list[str]:
        """The runs on record."""
        rows = as_administrator(self.url, "SELECT first_run_id FROM workflow_instances ORDER BY 1")
        return [row["first_run_id"] for row in rows]

    def lose(self, content: bytes) -> None:
        """Takes a value out of the store."""
        for file in self.folder.rglob(f"{name_of(content)}.json"):
            file.unlink()

    @property
    def archive(self) -> Path:
        """Where executions are archived."""
        return self.folder / "archive"


@pytest_asyncio.fixture
async def site(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    recorder = PostgresRecorder(database)
    store = FilePayloads(tmp_path / "payloads")
    yield Site(database, database_url, recorder, store, tmp_path)
    await recorder.close()


async def write_run(
    site: Site, run: str, *values: bytes, org: UUID = DEFAULT, ended: bool = True
) -> None:
    """A run that has stored these values in one step, and has left something of everything."""
    ref = run_ref(run, org)
    references = []
    for value in values:
        await site.store.put(org, name_of(value), value)
        references.append(PayloadReference(sha256=name_of(value), size=len(value)))
    output = {"big": [one.to_json() for one in references], "exact": 2**53 + 1}
    await site.recorder.write(started(ref, input={"n": 1}))
    done = step(3, StepStatus.COMPLETED, output=output)
    await site.recorder.write(
        attempt(ref, 1, StepStatus.COMPLETED, done, output=output, payloads=references)
    )
    status = InstanceStatus.COMPLETED if ended else InstanceStatus.RUNNING
    await site.recorder.write(
        facts(
            ref,
            audit(ref, 4, "workflow.completed"),
            action(ref, 5),
            published(ref, 6),
            flush(7, status),
        )
    )


def made_old(folder: Path, *, days: float = 400) -> None:
    """Has everything in the store look as if it were stored long ago."""
    then = datetime.now(UTC).timestamp() - days * 86_400
    for file in folder.rglob("*.json"):
        os.utime(file, (then, then))


async def cleaned(site: Site, **changes: Any) -> tuple[Cleaned, list[str]]:
    said: list[str] = []
    values: dict[str, Any] = {
        "archive": None,
        "older_than": "P30D",
        "now": NOW,
        "dry_run": False,
        "redactor": make_redactor(()),
        "say": said.append,
        "payloads": site.store,
        **changes,
    }
    orgs = await PostgresDefinitionStore(site.database).list_orgs()
    return await Cleanup(database=site.database, **values).run(orgs), said


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def archived(folder: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of an archived execution, its file checked against the manifest."""
    content = (folder / entry["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert len(content) == entry["size"]
    lines = gzip.decompress(content).decode().splitlines()
    assert len(lines) == entry["lines"]
    return [json.loads(line) for line in lines]


async def test_old_executions_go_with_the_values_that_were_theirs_alone(site: Site) -> None:
    """What an execution that runs, or another org's, has stored as well stays."""
    await PostgresDefinitionStore(site.database).create_org("acme")
    await write_run(site, "old", big("a"), big("b"), big("c"))
    await write_run(site, "runs", big("b"), ended=False)
    await write_run(site, "theirs", big("c"), org=OTHER, ended=False)
    made_old(site.folder)
    done, said = await cleaned(site)
    assert (done.executions, done.kept) == (1, 0)
    assert done.rows > 8
    assert said == [f"default: 1 executions removed, {done.rows} rows"]
    assert site.runs() == ["runs", "theirs"]
    assert (done.payloads, done.payload_bytes) == (2, len(big("a")) + len(big("c")))
    assert site.stored() == {name_of(big("b"))}
    assert site.stored(OTHER) == {name_of(big("c"))}
    [row] = as_administrator(site.url, "SELECT count(*) AS n FROM payloads")
    assert row["n"] == 2
    again, _ = await cleaned(site)
    assert again == Cleaned(dry_run=False)


async def test_what_nobody_refers_to_goes_when_it_is_a_day_old(site: Site) -> None:
    """An attempt that stored it and came to nothing leaves it behind; a new one may be about to."""
    now = datetime.now(UTC)
    for letter in "ab":
        await site.store.put(DEFAULT, name_of(big(letter)), big(letter))
    made_old(site.folder, days=2)
    await site.store.put(DEFAULT, name_of(big("b")), big("b"))
    done, _ = await cleaned(site, now=now, dry_run=True)
    assert (done.payloads, site.stored()) == (1, {name_of(big("a")), name_of(big("b"))})
    done, _ = await cleaned(site, now=now)
    assert (done.payloads, site.stored()) == (1, {name_of(big("b"))})


async def test_a_dry_run_changes_nothing(site: Site) -> None:
    """It says what would go, and makes no archive."""
    await write_run(site, "old", big("a"))
    made_old(site.folder)
    done, _ = await cleaned(site, dry_run=True, archive=Archive(site.archive))
    assert (done.executions, done.archived, done.dry_run) == (1, 0, True)
    assert site.runs() == ["old"]
    assert site.stored() == {name_of(big("a"))}
    assert not site.archive.exists()
    removed, _ = await cleaned(site)
    assert removed.rows == done.rows


async def test_the_archive_has_everything_of_an_execution(site: Site) -> None:
    """Its rows with all their digits and its values; audit events are copied and stay."""
    await write_run(site, "old", big("a"))
    done, _ = await cleaned(site, archive=Archive(site.archive))
    assert (done.executions, done.archived) == (1, 1)
    [entry] = manifest(site.archive)
    assert entry["file"] == f"default/2026/01/{run_ref('old').instance_id}.jsonl.gz"
    assert (entry["executionId"], entry["orgId"]) == ("exec-old", str(DEFAULT))
    first, *lines = archived(site.archive, entry)
    assert first["steploomArchive"] == 1
    tables = [line["table"] for line in lines if "table" in line]
    assert set(tables) == {
        "workflow_instances", "workflow_trace", "workflow_steps", "workflow_step_attempts",
        "workflow_events", "payloads", "outbox_events", "audit_events",
    }  # fmt: skip
    [output] = [line["row"] for line in lines if line.get("table") == "workflow_steps"]
    assert output["output_data"]["exact"] == 2**53 + 1
    [value] = [line for line in lines if "payload" in line]
    assert value["payload"] == {"sha256": name_of(big("a")), "size": len(big("a"))}
    assert value["value"] == json.loads(big("a"))
    assert done.archived_bytes == entry["size"]
    left = {
        table: as_administrator(site.url, f"SELECT count(*) AS n FROM {table}")[0]["n"]  # noqa: S608 (names of ours)
        for table in tables
    }
    # The event that no broker has yet must outlive its run, too.
    assert {table: count for table, count in left.items() if count} == {
        "audit_events": 1,
        "outbox_events": 1,
    }


async def test_a_value_is_archived_without_what_its_names_give_away(site: Site) -> None:
    """The store has what the run needed; the archive is made of the record, which may not."""
    secret = json_text({"password": "hunter22", "rest": "x"}).encode()
    await write_run(site, "old", secret)
    await cleaned(site, archive=Archive(site.archive))
    [entry] = manifest(site.archive)
    [value] = [line for line in archived(site.archive, entry) if "payload" in line]
    assert value["value"] == {"password": "[redacted]", "rest": "x"}


async def test_what_the_record_left_out_is_not_archived(site: Site) -> None:
    """As at the level error, where the rows have no outputs and so no references."""
    await write_run(site, "old", big("a"))
    for table in ("workflow_steps", "workflow_step_attempts"):
        as_administrator(site.url, f"UPDATE {table} SET output_data = NULL")  # noqa: S608 (the same)
    as_administrator(site.url, "UPDATE workflow_events SET event_data = '{}'")
    await cleaned(site, archive=Archive(site.archive))
    [entry] = manifest(site.archive)
    assert not [line for line in archived(site.archive, entry) if "payload" in line]


async def test_an_execution_whose_value_is_lost_is_kept(site: Site) -> None:
    """Perhaps the store is another one than the workers'; without an archive it goes."""
    await write_run(site, "lost", big("a"))
    await write_run(site, "whole", big("b"))
    site.lose(big("a"))
    archive = Archive(site.archive)
    done, said = await cleaned(site, archive=archive)
    assert (done.executions, done.kept, done.archived) == (1, 1, 1)
    assert site.runs() == ["lost"]
    assert "exec-lost is kept" in said[0]
    with pytest.raises(SteploomError, match="none is set"):
        await cleaned(site, payloads=None, archive=archive)
    assert site.runs() == ["lost"]
    done, _ = await cleaned(site)
    assert site.runs() == []


async def test_an_execution_that_changes_meanwhile_is_kept(site: Site) -> None:
    """Else what came late would be in no archive."""
    await write_run(site, "late")
    archive = Archive(site.archive)
    noted: Callable[[Any], None] = archive.note

    def note(entries: Any) -> None:
        noted(entries)
        as_administrator(site.url, "UPDATE workflow_instances SET seq = seq + 1")

    archive.note = note  # type: ignore[method-assign]
    done, _ = await cleaned(site, archive=archive)
    assert (done.executions, done.kept, done.archived) == (0, 1, 1)
    assert site.runs() == ["late"]


async def test_an_archive_that_cannot_be_written(site: Site) -> None:
    """Nothing is removed, and what was half written is gone."""
    await write_run(site, "old", big("a"))
    site.archive.mkdir()
    (site.archive / "default").write_text("in the way")
    with pytest.raises(SteploomError, match="cannot be written"):
        await cleaned(site, archive=Archive(site.archive))
    assert site.runs() == ["old"]
    (site.archive / "default").unlink()
    (site.archive / MANIFEST).mkdir()
    with pytest.raises(SteploomError, match="cannot be written"):
        await cleaned(site, archive=Archive(site.archive))
    assert site.runs() == ["old"]
    assert not list(site.archive.rglob("*.part"))


async def test_a_retention_beyond_every_calendar_keeps_its_executions(site: Site) -> None:
    """And the others are cleaned up all the same."""
    given = {
        "workflowId": "order",
        "name": "Order",
        "version": "1.0.0",
        "steps": [{"stepId": "charge", "taskId": "demo.charge"}],
        "executionLog": {"retention": "P9999Y"},
    }
    store = PostgresDefinitionStore(site.database)
    version = await store.register(DEFAULT, parse_definition(given), given)
    await write_run(site, "for-ever")
    as_administrator(
        site.url, "UPDATE workflow_instances SET definition_version_id = %s", version.version_id
    )
    await write_run(site, "old")
    done, _ = await cleaned(site)
    assert (done.executions, site.runs()) == (1, ["for-ever"])
    done, _ = await cleaned(site, older_than="P9999Y")
    assert done.executions == 0


async def test_one_cleanup_writes_to_an_archive(site: Site) -> None:
    """A second one is refused while the first is at work."""
    with Archive(site.archive).opened(), pytest.raises(RefusedError, match="another"):
        await cleaned(site, archive=Archive(site.archive))
    await cleaned(site, archive=Archive(site.archive))


#: A cleanup that is killed without warning when it comes to a place for the so-many-th time.
_KILLED = """
import asyncio, os, pathlib, signal, sys
from adapters.payloads.files import FilePayloads
from adapters.postgres import cleanup as rows
from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from datetime import datetime
from definitions.redaction import make_redactor
from steploom.operations import archive, cleanup

url, folder, place, nth, now = sys.argv[1:]
count = 0

def dying(function):
    def called(*args, **named):
        global count
        count += 1
        if count == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **named)
    return called

owner, name = {
    "line": (archive.ArchiveFile, "line"),
    "close": (archive.ArchiveFile, "close"),
    "facts": (archive.ArchiveFile, "facts"),
    "note": (archive.Archive, "note"),
    "remove": (rows.OldExecutions, "remove"),
    "sweep": (FilePayloads, "remove"),
}[place]
setattr(owner, name, dying(getattr(owner, name)))
cleanup.PORTION = 2

async def main():
    async with Database(url, pool_size=2) as database:
        orgs = await PostgresDefinitionStore(database).list_orgs()
        await cleanup.Cleanup(
            database=database,
            payloads=FilePayloads(pathlib.Path(folder, "payloads")),
            redactor=make_redactor(()),
            archive=archive.Archive(pathlib.Path(folder, "archive")),
            older_than="P30D",
            now=datetime.fromisoformat(now),
            dry_run=False,
            say=lambda _: None,
        ).run(orgs)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("place", "nth"),
    [("line", 1), ("line", 30), ("close", 2), ("facts", 3), ("note", 1), ("note", 2),
     ("remove", 1), ("remove", 2), ("remove", 3), ("sweep", 2)],
)  # fmt: skip
async def test_a_cleanup_that_is_killed_loses_nothing(site: Site, place: str, nth: int) -> None:
    """Each execution is in Postgres or whole in the archive; the next cleanup does the rest."""
    names = [f"run-{number}" for number in range(5)]
    for number, name in enumerate(names):
        await write_run(site, name, big(str(number)))
    made_old(site.folder)
    command = [
        sys.executable, "-c", _KILLED, site.url, str(site.folder), place, str(nth),
        NOW.isoformat(),
    ]  # fmt: skip
    killed = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    def check() -> set[str]:
        left = set(site.runs())
        text = (site.archive / MANIFEST).read_bytes() if (site.archive / MANIFEST).exists() else b""
        entries = {
            entry["executionId"].removeprefix("exec-"): entry
            for entry in map(json.loads, text[: text.rfind(b"\n") + 1].splitlines())
        }
        for name in names:
            if name in left:
                continue
            [value] = [line for line in archived(site.archive, entries[name]) if "payload" in line]
            assert value["value"] == json.loads(big(name.removeprefix("run-")))
        for number, name in enumerate(names):
            assert name not in left or name_of(big(str(number))) in site.stored()
        return left

    check()
    await cleaned(site, archive=Archive(site.archive))
    assert check() == set()
    assert site.stored() == set()
    assert not list(site.archive.rglob("*.part"))
    assert {entry["executionId"] for entry in manifest(site.archive)} == {
        f"exec-{n}" for n in names
    }
