"""Audit events that were pruned: what shows it, and what shows that somebody tampered with that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.postgres.audit_pruning import AuditPruning
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import Database
from definitions.errors import RefusedError
from definitions.seals import Damage
from tests.docs import blocks
from tests.integration.facts import DEFAULT
from tests.integration.pruning import (
    FORWARD,
    LEFT,
    aged,
    as_replica,
    check,
    owner,
    prune,
)
from tests.postgres import as_administrator

if TYPE_CHECKING:
    pass

__all__ = ["aged", "owner"]


#: What the owner of the database does to a chain that was pruned up to 7.
CUT_BEHIND = """
DELETE FROM audit_events WHERE event_id =
    (SELECT event_id FROM audit_seals WHERE position = 8);
DELETE FROM audit_seals WHERE position = 8
"""
MOVED_BACK = "DELETE FROM audit_anchors WHERE position = 7"
HASH = "UPDATE audit_anchors SET hash = repeat('a', 64) WHERE position = 7"
WHO = "UPDATE audit_anchors SET pruned_by = 'nobody' WHERE position = 7"
WHICH = """
UPDATE audit_anchors SET event_id = (SELECT event_id FROM audit_seals LIMIT 1) WHERE position = 7
"""
UNTOLD = "DELETE FROM audit_events WHERE event_type = 'audit.pruned'"
CHANGED = """
UPDATE audit_events SET event_type = 'x'
WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = {})
"""
GONE = """
DELETE FROM audit_events WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = 2)
"""
REMADE = """
UPDATE audit_seals SET previous_hash = repeat('a', 64), hash = encode(sha256(
    convert_to('8 ' || repeat('a', 64) || ' ' || event_hash, 'UTF8')), 'hex')
WHERE position = 8
"""
OF_BEFORE = """
INSERT INTO audit_seals
SELECT org_id, 2, gen_random_uuid(), event_hash, previous_hash,
    encode(sha256(convert_to('2 ' || previous_hash || ' ' || event_hash, 'UTF8')), 'hex')
FROM audit_seals WHERE position = 8
"""
TAMPERING = {
    "the anchor gone": ("DELETE FROM audit_anchors", Damage.SEAL_REMOVED, 1),
    "the anchor moved back": (MOVED_BACK, Damage.SEAL_REMOVED, 7),
    "the anchor moved on": (FORWARD, Damage.ANCHOR_CHANGED, 8),
    "moved on, and the link removed": (f"{FORWARD}; {CUT_BEHIND}", Damage.ANCHOR_CHANGED, 8),
    "the anchor's hash": (HASH, Damage.ANCHOR_CHANGED, 8),
    "who it was": (WHO, Damage.ANCHOR_CHANGED, 7),
    "another event": (WHICH, Damage.ANCHOR_CHANGED, 7),
    "what tells of it": (UNTOLD, Damage.EVENT_REMOVED, 11),
    "the first link": (CUT_BEHIND, Damage.SEAL_REMOVED, 8),
    "all links": ("DELETE FROM audit_seals", Damage.SEAL_REMOVED, 8),
    "an event": (CHANGED.format(9), Damage.EVENT_CHANGED, 9),
    "a link made anew": (REMADE, Damage.ANCHOR_CHANGED, 8),
    "a link of before": (OF_BEFORE, Damage.ANCHOR_CHANGED, 2),
}


@pytest.mark.parametrize(
    ("statements", "damage", "position"), list(TAMPERING.values()), ids=list(TAMPERING)
)
async def test_what_was_tampered_with_afterwards_is_named(
    aged: str, owner: Database, statements: str, damage: Damage, position: int
) -> None:
    """The anchor is held against the first link behind it, and against what the chain tells."""
    await prune(owner)
    await AuditSealer(owner).seal_all(DEFAULT)
    as_replica(aged, statements)
    broken = (await check(owner)).broken
    assert broken is not None
    assert (broken.damage, broken.position) == (damage, position)
    left = as_administrator(aged, LEFT, DEFAULT)
    done = await prune(owner, older_than="PT0S")
    assert (done.removed, done.kept) == (0, "damaged")
    assert as_administrator(aged, LEFT, DEFAULT) == left


@pytest.mark.parametrize(
    "damage",
    [
        CHANGED.format(2),
        GONE,
        "UPDATE audit_seals SET hash = repeat('a', 64) WHERE position = 2",
        "UPDATE audit_seals SET previous_hash = repeat('a', 64) WHERE position = 2",
        "DELETE FROM audit_seals WHERE position = 2",
    ],
)
async def test_the_function_itself_keeps_what_is_damaged(
    aged: str, owner: Database, damage: str
) -> None:
    """Whoever calls it without looking before: the proof of what was done is not removed."""
    as_replica(aged, damage)
    pruning = AuditPruning(owner)
    before = await pruning.before("P20Y")
    portion = await pruning.portion(DEFAULT, before, 0, 3)
    assert (portion.upto, portion.stopped_by) == (1, "damaged")
    with pytest.raises(RefusedError, match="damaged"):
        await pruning.remove(DEFAULT, portion._replace(upto=3), before, "x")
    assert as_administrator(aged, "SELECT FROM audit_anchors") == []


async def test_the_auditors_own_query_begins_at_the_anchor(
    aged: str, owner: Database, database: Database
) -> None:
    """The query in audit.md holds for what is left, and shows where an anchor does not fit."""
    await prune(owner)
    await AuditSealer(database).seal_all(DEFAULT)
    [query] = [block.text for block in blocks("sql") if "event_holds" in block.text]
    names = ("no_gap", "follows", "seal_holds", "event_holds")

    def wrong() -> set[tuple[int, str]]:
        rows = as_administrator(aged, query)
        assert len(rows) == 6
        return {(row["position"], name) for row in rows for name in names if not row[name]}

    assert wrong() == set()
    as_replica(aged, "UPDATE audit_anchors SET hash = repeat('a', 64) WHERE position = 7")
    assert wrong() == {(8, "follows")}
    as_replica(aged, "DELETE FROM audit_anchors WHERE position = 7")
    assert wrong() == {(8, "follows"), (8, "no_gap")}
