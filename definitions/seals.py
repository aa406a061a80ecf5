"""The hash chain over audit events: how a link is made, and how a chain is checked.

An event's text is what Postgres gives of its stored row, so that a row that was read back, dumped
and restored has the same bytes. Two hashes make a link, both SHA-256 in hexadecimal::

    event_hash = sha256(text of the event, as UTF-8)
    hash       = sha256("{position} {previous_hash} {event_hash}")

Positions count from 1 in each org; the first link follows on 64 zeros. Where the oldest links were
pruned, the first that is left follows on the anchor, which keeps the hash of the last that went.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: What the first link follows on.
ORIGIN = "0" * 64
#: How far from its place a seal is looked for that was moved.
_MOVED_BY = 1000


def event_hash(text: str) -> str:
    """The hash of an event's text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def link_hash(position: int, previous_hash: str, hash_of_event: str) -> str:
    """The hash of a link, on which the next one follows."""
    return hashlib.sha256(f"{position} {previous_hash} {hash_of_event}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is stored. ``text`` is its event's, as it is stored now; None: it is gone."""

    position: int
    event_id: UUID
    event_hash: str
    previous_hash: str
    hash: str
    text: str | None


class Damage(StrEnum):
    """What can be wrong with a chain."""

    EVENT_CHANGED = "event_changed"
    EVENT_REMOVED = "event_removed"
    EVENT_NOT_SEALED = "event_not_sealed"
    SEAL_CHANGED = "seal_changed"
    SEAL_MOVED = "seal_moved"
    SEAL_REMOVED = "seal_removed"
    SEAL_REPLACED = "seal_replaced"
    HEAD_MISSING = "head_missing"
    HEAD_PRUNED = "head_pruned"
    ANCHOR_CHANGED = "anchor_changed"
    FILE_CHANGED = "file_changed"
    FILE_REMOVED = "file_removed"


@dataclass(frozen=True, slots=True)
class Break:
    """The first place at which a chain does not hold, and what is wrong there."""

    damage: Damage
    position: int | None
    event_id: UUID | None
    message: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "damage": str(self.damage),
            "position": self.position,
            "eventId": str(self.event_id) if self.event_id else None,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last link that was pruned: the first one that is left follows on it.

    ``removed`` counts what the last portion took; ``told`` is ``data.audit`` of the audit event
    ``event_id``, which tells the same. None: it is gone, or is no such event.
    """

    position: int
    hash: str
    removed: int
    pruned_at: datetime
    pruned_by: str
    event_id: UUID
    told: dict[str, Any] | None = None

    def untold(self) -> Break | None:
        """What is wrong where the chain does not tell of this anchor."""
        said = {
            "position": self.position,
            "hash": self.hash,
            "removed": self.removed,
            "by": self.pruned_by,
        }
        if self.told is not None and said.items() <= self.told.items():
            return None
        message = (
            f"no audit event tells that the links up to {self.position} were pruned as the anchor "
            "says: it was moved or made anew"
        )
        return Break(Damage.ANCHOR_CHANGED, self.position, self.event_id, message)


class Chain:
    """Follows a chain, link by link, from a place on that is known to be good.

    ``position`` and ``hash`` are those of the last good link: those of the anchor before the first
    that is left, (0, ``ORIGIN``) where nothing was pruned.
    """

    def __init__(self, position: int = 0, hash: str = ORIGIN) -> None:  # noqa: A002 (its name)
        self._start = position
        self.position = position
        self.hash = hash

    def follow(self, link: Link) -> Break | None:
        """Takes the next stored link; what is wrong with it, if anything is."""
        found = self._wrong(link)
        if found is None:
            self.position, self.hash = link.position, link.hash
            return None
        damage, message = found
        if damage is Damage.SEAL_REMOVED:
            return Break(damage, self.position + 1, None, message)
        return Break(damage, link.position, link.event_id, message)

    def _wrong(self, link: Link) -> tuple[Damage, str] | None:
        expected = self.position + 1
        if link.position < expected:
            message = f"the links up to {self.position} were pruned, says the anchor: it was moved"
            return Damage.ANCHOR_CHANGED, message
        if link.position > expected:
            last = link.position - 1
            gone = f"seal {last} was" if last == expected else f"seals {expected} to {last} were"
            return Damage.SEAL_REMOVED, f"the {gone} removed"
        return _wrong_seal(link) or self._wrong_place(link) or _wrong_event(link)

    def _wrong_place(self, link: Link) -> tuple[Damage, str] | None:
        if link.previous_hash == self.hash:
            return None
        if self.position == self._start > 0:
            message = "the seal does not follow the anchor: one of them was made anew"
            return Damage.ANCHOR_CHANGED, message
        message = "the seal does not follow the one before it: one of them was made anew"
        return Damage.SEAL_REPLACED, message


def _wrong_seal(link: Link) -> tuple[Damage, str] | None:
    if link_hash(link.position, link.previous_hash, link.event_hash) == link.hash:
        return None
    own = _own_position(link)
    if own is not None:
        return Damage.SEAL_MOVED, f"the seal that stands here was made for position {own}"
    return Damage.SEAL_CHANGED, "the seal is not what it was when it was made"


def _wrong_event(link: Link) -> tuple[Damage, str] | None:
    if link.text is None:
        return Damage.EVENT_REMOVED, "the event was removed"
    if event_hash(link.text) != link.event_hash:
        return Damage.EVENT_CHANGED, "the event is not what it was when it was sealed"
    return None


def _own_position(link: Link) -> int | None:
    near = range(max(1, link.position - _MOVED_BY), link.position + _MOVED_BY + 1)
    hashes = (
        place
        for place in near
        if link_hash(place, link.previous_hash, link.event_hash) == link.hash
    )
    return next(hashes, None)
