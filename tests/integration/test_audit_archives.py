"""Audit events in an archive: all that went is there, and its chain holds without a database."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from adapters.postgres.database import Database
from definitions.errors import InvalidInputError, NotFoundError
from definitions.seals import ORIGIN, Chain, Damage, Link
from steploom.operations.archive import Archive
from steploom.operations.archived_audit import verify_archive
from steploom.operations.auditing import Head
from steploom.operations.pruning import Pruning
from tests.integration.facts import DEFAULT
from tests.integration.pruning import (
    OLD,
    aged,
    check,
    everything,
    organization,
    owner,
    prune,
)
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["aged", "owner"]


async def test_who_is_stopped_between_two_portions_begins_again(
    aged: str, database: Database, tmp_path: Path
) -> None:
    """What went is told and holds; the rest goes the next time, and all of it is archived once."""
    archive = Archive(tmp_path / "archive")
    async with Database(aged, as_owner=True) as owner:
        stopped = Pruning(
            database=owner, archive=archive, older_than="P20Y", by="x", dry_run=False,
            say=_stop, portion=3,
        )  # fmt: skip
        with pytest.raises(_StoppedError):
            await stopped.run([await organization(owner)])
        verdict = await check(database)
        assert (verdict.broken, verdict.sealed) == (None, 7)
        assert (await prune(owner, archive=archive)).removed == 4
    assert (await check(database)).broken is None
    assert [position for position, _ in _archived(tmp_path / "archive")] == list(range(1, 8))


class _StoppedError(Exception):
    pass


def _stop(_: str) -> None:
    raise _StoppedError


async def test_what_is_archived_and_did_not_go_is_archived_again(
    aged: str, owner: Database, database: Database, tmp_path: Path
) -> None:
    """A transaction that fails leaves the events where they are, and says nothing of them."""
    before = everything(aged)
    as_administrator(
        aged,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no room'; END $$;"
        " CREATE TRIGGER refuse BEFORE DELETE ON audit_seals FOR EACH ROW"
        " EXECUTE FUNCTION refuse()",
    )
    archive = Archive(tmp_path / "archive")
    with pytest.raises(psycopg.errors.RaiseException, match="no room"):
        await prune(owner, archive=archive)
    assert everything(aged) == before
    as_administrator(aged, "DROP TRIGGER refuse ON audit_seals; DROP FUNCTION refuse()")
    assert (await prune(owner, archive=archive)).removed == OLD
    assert (await check(database)).broken is None


def _archived(folder: Path) -> list[tuple[int, str]]:
    """Position and text of every event in an archive, each file checked with the manifest."""
    found = []
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        content = (folder / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        head, *links = map(json.loads, gzip.decompress(content).splitlines())
        assert head["audit"] == entry["audit"]
        found += [(link["position"], link["event"]) for link in links]
    return found


async def test_the_archive_has_everything_that_went(
    aged: str, owner: Database, database: Database, tmp_path: Path
) -> None:
    """Each event with its link, which hold from 64 zeros to the anchor, without any database."""
    events = as_administrator(
        aged, "SELECT e.* FROM audit_events AS e JOIN audit_seals USING (event_id)"
        " WHERE position <= 7 ORDER BY position",
    )  # fmt: skip
    done = await prune(owner, archive=Archive(tmp_path / "archive"))
    assert (done.removed, done.archived) == (OLD, 3)
    files = sorted((tmp_path / "archive").rglob("*.gz"))
    assert [file.name for file in files] == [
        "000000000001-000000000003.jsonl.gz",
        "000000000004-000000000006.jsonl.gz",
        "000000000007-000000000007.jsonl.gz",
    ]
    chain = Chain(0, ORIGIN)
    for file in files:
        head, *links = map(json.loads, gzip.decompress(file.read_bytes()).splitlines())
        assert head["audit"]["previousHash"] == chain.hash
        for link in links:
            made = Link(
                link["position"], uuid4(), link["eventHash"], link["previousHash"], link["hash"],
                link["event"],
            )  # fmt: skip
            assert chain.follow(made) is None
        assert head["audit"]["hash"] == chain.hash
    assert done.anchor == f"{chain.hash}@7"
    texts = [json.loads(text) for _, text in _archived(tmp_path / "archive")]
    assert [one["event_id"] for one in texts] == [str(one["event_id"]) for one in events]
    assert [one["event_data"] for one in texts] == [one["event_data"] for one in events]
    assert (await check(database)).broken is None


def rewritten(folder: Path, name: str, change: Callable[[list[Any]], None], *, told: bool) -> None:
    """Changes the lines of a file, and with ``told`` what the manifest says of it."""
    file = folder / name
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    change(lines)
    file.write_bytes(gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode()))
    if told:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entries = [
            json.loads(line) for line in (folder / "manifest.jsonl").read_bytes().splitlines()
        ]
        for entry in entries:
            entry["sha256"] = digest if entry["file"] == name else entry["sha256"]
        (folder / "manifest.jsonl").write_text(
            "".join(f"{json.dumps(entry)}\n" for entry in entries)
        )


async def test_an_archive_is_checked_by_itself(aged: str, owner: Database, tmp_path: Path) -> None:
    """From the first link to the anchor; a head of between is there, one of afterwards is not."""
    heads = [
        Head(row["hash"], row["position"])
        for row in as_administrator(aged, "SELECT * FROM audit_seals ORDER BY position")
    ]
    done = await prune(owner, archive=Archive(tmp_path))
    for org in (None, "default", str(DEFAULT)):
        [found] = verify_archive(tmp_path, org)
        assert (found.org, found.first, found.sealed, found.head, found.broken) == (
            "default", 1, OLD, done.anchor, None,
        )  # fmt: skip
    for head in (heads[0], heads[4], heads[6], Head(heads[2].hash)):
        assert verify_archive(tmp_path, "default", head)[0].broken is None
    for head in (heads[8], Head(heads[2].hash, 4)):
        broken = verify_archive(tmp_path, "default", head)[0].broken
        assert broken is not None
        assert broken.damage is Damage.HEAD_MISSING
    with pytest.raises(NotFoundError):
        verify_archive(tmp_path, "acme")
    with pytest.raises(InvalidInputError):
        verify_archive(tmp_path / "default")
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(InvalidInputError):
        verify_archive(tmp_path)


def _event(lines: list[Any]) -> None:
    lines[2]["event"] = lines[2]["event"].replace("workflow.started", "workflow.stopped")


def _seal(lines: list[Any]) -> None:
    lines[2]["previousHash"] = ORIGIN


def _cut(lines: list[Any]) -> None:
    del lines[2]


def _spoil(lines: list[Any]) -> None:
    lines[2] = {"position": "5"}


@pytest.mark.parametrize(
    ("change", "told", "damage", "position"),
    [
        (_event, False, Damage.FILE_CHANGED, 4),
        (_event, True, Damage.EVENT_CHANGED, 5),
        (_seal, True, Damage.SEAL_CHANGED, 5),
        (_cut, True, Damage.SEAL_REMOVED, 5),
        (_spoil, True, Damage.FILE_CHANGED, 4),
    ],
)
async def test_what_was_changed_in_an_archive_is_named(
    owner: Database,
    aged: str,
    tmp_path: Path,
    *,
    change: Callable[[list[Any]], None],
    told: bool,
    damage: Damage,
    position: int,
) -> None:
    """A file that is another one; and where the manifest was changed as well, the link."""
    await prune(owner, archive=Archive(tmp_path))
    name = "default/audit/000000000004-000000000006.jsonl.gz"
    rewritten(tmp_path, name, change, told=told)
    broken = verify_archive(tmp_path)[0].broken
    assert broken is not None
    assert (broken.damage, broken.position) == (damage, position)
    assert aged


async def test_a_file_that_is_gone_is_missed(aged: str, owner: Database, tmp_path: Path) -> None:
    """Whether the manifest names it or not, unless it is the last one; for that there is a head."""
    done = await prune(owner, archive=Archive(tmp_path))
    manifest = tmp_path / "manifest.jsonl"
    first, second, last = manifest.read_text().splitlines()
    (tmp_path / "default/audit/000000000004-000000000006.jsonl.gz").unlink()
    for lines, damage in (
        ((first, second, last), Damage.FILE_REMOVED),
        ((first, last), Damage.SEAL_REMOVED),
    ):
        manifest.write_text("\n".join(lines))
        broken = verify_archive(tmp_path)[0].broken
        assert broken is not None
        assert (broken.damage, broken.position) == (damage, 4)
    manifest.write_text(first)
    assert done.anchor is not None
    assert verify_archive(tmp_path)[0].broken is None
    broken = verify_archive(tmp_path, "default", Head.parse(done.anchor))[0].broken
    assert broken is not None
    assert broken.damage is Damage.HEAD_MISSING
    assert aged
