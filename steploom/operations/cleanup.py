"""Removing old executions: archived first where that is asked for, then in small portions.

The order is what keeps it safe. An execution is written to the archive and on the disk, then it is
removed from Postgres, then the big values that no execution refers to any more are removed from the
payload store. Whoever is interrupted anywhere begins again and loses nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from adapters.postgres.cleanup import OldExecutions
from adapters.postgres.payloads import used_payloads
from definitions.errors import NotFoundError, SteploomError
from definitions.outputs import json_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from uuid import UUID

    from adapters.postgres.cleanup import OldExecution
    from adapters.postgres.database import Database
    from definitions.ports import Organization, PayloadStore, StoredPayload
    from definitions.redaction import Redactor
    from steploom.operations.archive import Archive

#: Executions that are removed in one transaction.
PORTION = 100
#: What is younger is left in the payload store: the run that has stored it may not be on record.
GRACE = timedelta(days=1)
#: Values that are looked up in one query.
_LOOKED_UP = 1_000
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Cleaned:
    """What a cleanup has removed, or with ``dry_run`` would remove. Sizes are in bytes.

    ``archived`` counts the files of the archive. ``kept``: executions that changed meanwhile, or
    could not be archived as a whole. ``payloads`` are values of the payload store.
    """

    dry_run: bool
    executions: int = 0
    rows: int = 0
    archived: int = 0
    archived_bytes: int = 0
    kept: int = 0
    payloads: int = 0
    payload_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        names = {name: name.split("_") for name in asdict(self)}
        return {
            first + "".join(part.capitalize() for part in rest): getattr(self, name)
            for name, (first, *rest) in names.items()
        }


@dataclass(frozen=True, slots=True)
class Cleanup:
    """How to clean up.

    ``older_than`` is for definitions that say no retention, ``payloads`` the store, if there is
    one, ``say`` is told how far it has come.
    """

    database: Database
    payloads: PayloadStore | None
    redactor: Redactor
    archive: Archive | None
    older_than: str | None
    now: datetime
    dry_run: bool
    say: Callable[[str], None]
    grace: timedelta = GRACE

    async def run(self, orgs: Sequence[Organization]) -> Cleaned:
        """Cleans up these orgs.

        Raises:
            UnreachableError: Postgres or the payload store does not answer.
            InvalidInputError: The archive is something else than a directory.
            SteploomError: The archive cannot be written.
        """
        done = Cleaned(dry_run=self.dry_run)
        if self.archive is None or self.dry_run:
            if self.archive is not None:
                self.archive.check()
            await self._all(orgs, done)
        else:
            with self.archive.opened():
                await self._all(orgs, done)
        return done

    async def _all(self, orgs: Sequence[Organization], done: Cleaned) -> None:
        for org in orgs:
            await self._executions(org, done)
            if self.payloads is not None:
                await self._sweep(org, self.payloads, done)

    async def _executions(self, org: Organization, done: Cleaned) -> None:
        old = OldExecutions(self.database, org.id, older_than=self.older_than, now=self.now)
        async for portion in _portions(old.find(), PORTION):
            if self.dry_run:
                done.executions += len(portion)
                done.rows += await old.count_rows([one.id for one in portion])
                continue
            whole = portion
            if self.archive is not None:
                whole = await self._archive(org, old, portion, self.archive, done)
            removed = await old.remove(whole)
            done.executions += len(removed.ids)
            done.rows += removed.rows
            done.kept += len(portion) - len(removed.ids)
            self.say(f"{org.slug}: {done.executions} executions removed, {done.rows} rows")

    async def _archive(
        self,
        org: Organization,
        old: OldExecutions,
        portion: Sequence[OldExecution],
        archive: Archive,
        done: Cleaned,
    ) -> list[OldExecution]:
        """Writes executions to the archive; returns those that are in it as a whole."""
        entries, whole = [], []
        for one in portion:
            facts = {
                "orgId": str(org.id),
                "org": org.slug,
                "instanceId": str(one.id),
                "executionId": one.execution_id,
                "workflowId": one.workflow_id,
                "version": one.version,
                "completedAt": one.completed_at.isoformat(),
            }
            rows = await old.rows(one.id)
            month = one.completed_at.astimezone(UTC).strftime("%Y/%m")
            try:
                with archive.file(f"{org.slug}/{month}/{one.id}.jsonl.gz") as file:
                    file.line(json_text({"steploomArchive": 1, **facts}).encode())
                    for table, row in rows:
                        file.line(f'{{"table":"{table}","row":{row}}}'.encode())
                    async for value in self._values(org.id, rows):
                        file.line(value)
            except NotFoundError as error:
                self.say(f"{org.slug}: {one.execution_id} is kept, for its {error.message}")
                continue
            whole.append(one)
            entries.append({**file.facts(), **facts})
            done.archived += 1
            done.archived_bytes += file.size
        archive.note(entries)
        return whole

    async def _values(self, org_id: UUID, rows: Sequence[tuple[str, str]]) -> AsyncIterator[bytes]:
        """The big values that the rows refer to, less what is not stored of values by their names.

        Those alone: at the level ``error`` the record does not have what the run was given.

        Raises:
            NotFoundError: One is not in the store.
        """
        stored = [json.loads(row) for table, row in rows if table == "payloads"]
        told = {
            sha256 for table, row in rows if table != "payloads" for sha256 in _HASH.findall(row)
        }
        for one in stored:
            if one["sha256"] not in told:
                continue
            facts = {"sha256": one["sha256"], "size": one["size"]}
            if self.payloads is None:
                raise SteploomError(
                    "there are executions with values in a payload store, and none is set",
                    hint="set STEPLOOM_PAYLOADS as it is for the workers",
                )
            content = await self.payloads.get(org_id, one["sha256"])
            value = json.loads(content)
            shown = self.redactor.stored(value)
            text = content if shown is value else json_text(shown).encode()
            yield b'{"payload":' + json_text(facts).encode() + b',"value":' + text + b"}"

    async def _sweep(self, org: Organization, store: PayloadStore, done: Cleaned) -> None:
        """Removes the values that no execution refers to, and that are not of today."""
        before = self.now - self.grace
        async for portion in _portions(_older(store.stored(org.id), before), _LOOKED_UP):
            used = await used_payloads(self.database, org.id, [one.sha256 for one in portion])
            for one in portion:
                if one.sha256 in used:
                    continue
                if self.dry_run or await store.remove(org.id, one.sha256, before=before):
                    done.payloads += 1
                    done.payload_bytes += one.size


async def _older(
    stored: AsyncIterator[StoredPayload], before: datetime
) -> AsyncIterator[StoredPayload]:
    async for one in stored:
        if one.stored_at < before:
            yield one


async def _portions(items: AsyncIterator[Any], size: int) -> AsyncIterator[list[Any]]:
    portion: list[Any] = []
    async for item in items:
        portion.append(item)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion
