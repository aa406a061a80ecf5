"""The retention of audit events: archived first where that is asked for, then removed in portions.

A chain that does not hold is left alone, so that nobody gets rid of what shows it. A portion is in
the archive and on the disk before it goes; that it goes, that the anchor moves, and the audit event
that tells of it are one transaction. Whoever is interrupted anywhere begins again, and loses
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.postgres.audit import Audit
from adapters.postgres.audit_pruning import AuditPruning
from definitions.outputs import json_text
from steploom.operations.auditing import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from adapters.postgres.audit_pruning import Portion
    from adapters.postgres.database import Database
    from definitions.ports import Organization
    from steploom.operations.archive import Archive

#: Events that are removed in one transaction.
PORTION = 1_000


@dataclass(slots=True)
class Pruned:
    """What went of an org, or with ``dry_run`` would go. Sizes are in bytes.

    ``anchor``: the link behind which the chain begins now, or would, as ``HASH@POSITION``; None
    where it begins at its first link. ``kept``: why the first event that is left is kept
    (``younger``, ``on_record``, ``last``, ``damaged``), at which position, and of which execution.
    """

    org: str
    before: datetime
    dry_run: bool
    removed: int = 0
    anchor: str | None = None
    archived: int = 0
    archived_bytes: int = 0
    kept: str | None = None
    kept_at: int | None = None
    execution: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        kept = {"reason": self.kept, "position": self.kept_at, "executionId": self.execution}
        return {
            "org": self.org,
            "before": self.before.isoformat(),
            "dryRun": self.dry_run,
            "removed": self.removed,
            "anchor": self.anchor,
            "archived": self.archived,
            "archivedBytes": self.archived_bytes,
            "kept": kept if self.kept is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Pruning:
    """How to prune.

    ``database`` is opened as the owner of the tables. ``older_than`` is an ISO 8601 duration,
    ``by`` is who does it, ``say`` is told how far it has come.
    """

    database: Database
    archive: Archive | None
    older_than: str
    by: str
    dry_run: bool
    say: Callable[[str], None]
    portion: int = PORTION

    async def run(self, orgs: Sequence[Organization]) -> list[Pruned]:
        """Prunes the chains of these orgs.

        Raises:
            RefusedError: Who has connected may not remove audit events.
            UnreachableError: Postgres does not answer. What was removed stays removed.
            SteploomError: The archive cannot be written.
        """
        pruning = AuditPruning(self.database)
        if not self.dry_run:
            await pruning.check_right()
        before = await pruning.before(self.older_than)
        if self.archive is None or self.dry_run:
            return [await self._org(pruning, org, before) for org in orgs]
        with self.archive.opened():
            return [await self._org(pruning, org, before) for org in orgs]

    async def _org(self, pruning: AuditPruning, org: Organization, before: datetime) -> Pruned:
        done = Pruned(org.slug, before, self.dry_run)
        broken = (await verify(Audit(self.database), org)).broken
        after, digest = await pruning.anchor(org.id)
        while broken is None:
            if after:
                done.anchor = f"{digest}@{after}"
            portion = await pruning.portion(org.id, before, after, self.portion)
            done.kept, done.kept_at = portion.stopped_by, portion.stopped_at
            done.execution = portion.execution
            if portion.upto == after:
                return done
            if not await self._portion(pruning, org, portion, done):
                after, digest = await pruning.anchor(org.id)
                continue
            after, digest = portion.upto, portion.hash
        done.kept, done.kept_at = "damaged", broken.position
        return done

    async def _portion(
        self, pruning: AuditPruning, org: Organization, portion: Portion, done: Pruned
    ) -> bool:
        """Removes a portion; false where somebody else was faster."""
        if self.dry_run:
            done.removed += portion.upto - portion.after
            return True
        if self.archive is not None and not await self._archive(
            pruning, org, portion, self.archive, done
        ):
            return False
        removed = await pruning.remove(org.id, portion, done.before, self.by)
        done.removed += removed
        if removed:
            self.say(f"{org.slug}: {done.removed:,} audit events removed")
        return removed > 0

    async def _archive(
        self,
        pruning: AuditPruning,
        org: Organization,
        portion: Portion,
        archive: Archive,
        done: Pruned,
    ) -> bool:
        """Writes a portion to a file; false, and no file, where it is gone already."""
        links = await pruning.links(org.id, portion)
        if len(links) != portion.upto - portion.after:
            return False
        facts = {
            "orgId": str(org.id),
            "org": org.slug,
            "audit": {
                "first": portion.after + 1,
                "last": portion.upto,
                "previousHash": links[0]["previous_hash"],
                "hash": portion.hash,
            },
        }
        name = f"{org.slug}/audit/{portion.after + 1:012d}-{portion.upto:012d}.jsonl.gz"
        with archive.file(name) as file:
            file.line(json_text({"steploomArchive": 1, **facts}).encode())
            for link in links:
                line = {
                    "position": link["position"],
                    "eventHash": link["event_hash"],
                    "previousHash": link["previous_hash"],
                    "hash": link["hash"],
                    "sealedAt": link["sealed_at"].isoformat(),
                    "event": link["event"],
                }
                file.line(json_text(line).encode())
        archive.note([{**file.facts(), **facts}])
        done.archived += 1
        done.archived_bytes += file.size
        return True
