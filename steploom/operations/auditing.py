"""Checks the chain of an org's audit events from its first link to its last."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from definitions.errors import InvalidInputError
from definitions.seals import Break, Chain, Damage

if TYPE_CHECKING:
    from adapters.postgres.audit import Audit, Waiting
    from definitions.ports import Organization

_HEAD = re.compile(r"^([0-9a-f]{64})(?:@([1-9][0-9]{0,17}))?$")


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a chain as somebody noted it; the position may not be known."""

    hash: str
    position: int | None = None

    @classmethod
    def parse(cls, text: str) -> Head:
        """From ``HASH`` or ``HASH@POSITION``.

        Raises:
            InvalidInputError: It is neither.
        """
        match = _HEAD.match(text.strip().lower())
        if match is None:
            raise InvalidInputError(
                f"{text!r} is no head of a chain",
                hint="give HASH or HASH@POSITION, as `steploom audit verify` printed it",
            )
        return cls(match[1], int(match[2]) if match[2] else None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of an org found.

    ``sealed``: the links that hold, up to the first that does not. ``head``: the last of them as
    ``HASH@POSITION``. ``waiting``: the events that have no seal yet.
    """

    org: str
    sealed: int
    head: str
    waiting: Waiting
    broken: Break | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        broken = self.broken
        return {
            "org": self.org,
            "whole": broken is None,
            "sealed": self.sealed,
            "head": self.head,
            "unsealed": self.waiting.events,
            "unsealedSince": self.waiting.since.isoformat() if self.waiting.since else None,
            "broken": None
            if broken is None
            else {
                "damage": str(broken.damage),
                "position": broken.position,
                "eventId": str(broken.event_id) if broken.event_id else None,
                "message": broken.message,
            },
        }


async def verify(
    audit: Audit,
    org: Organization,
    expected: Head | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Verdict:
    """Follows a chain to its end, or to its first break.

    Args:
        audit: Where the events are.
        org: Whose chain.
        expected: A head that was noted earlier: it must be in the chain.
        progress: Told after each page how many links are checked, and how many there were.
    """
    waiting = await audit.waiting(org.id)
    total = await audit.head(org.id)
    chain, seen = Chain(), expected is None
    elsewhere: int | None = None
    broken = None
    async for page in audit.chain(org.id):
        for link in page:
            broken = chain.follow(link)
            if broken is not None:
                break
            if expected is not None and expected.hash == chain.hash:
                elsewhere = chain.position
                seen = seen or expected.position in {None, chain.position}
        if broken is not None:
            break
        progress(chain.position, total)
    if broken is None and expected is not None and not seen:
        broken = _missing(expected, chain, elsewhere)
    broken = broken or await _left_out(audit, org, chain)
    head = f"{chain.hash}@{chain.position}"
    return Verdict(org.slug, chain.position, head, waiting, broken)


def _missing(expected: Head, chain: Chain, elsewhere: int | None) -> Break:
    """``elsewhere``: where the chain has the hash that is expected, if it has it."""
    position = expected.position
    if elsewhere is not None:
        message = (
            f"the hash that is expected stands at position {elsewhere} of the chain, "
            f"not at {position}: the position is not the one that goes with it"
        )
    elif position is not None and position <= chain.position:
        message = f"the seal {position} is not the one that is expected: it was made anew"
    else:
        message = (
            f"the chain ends at {chain.position} without the head that is expected: "
            "its end was removed or made anew"
        )
    return Break(Damage.HEAD_MISSING, position, None, message)


async def _left_out(audit: Audit, org: Organization, chain: Chain) -> Break | None:
    """What no link tells: events that stand outside of the chain, and those gone before."""
    astray = await audit.astray(org.id)
    if astray is not None:
        message = "the event has no seal and waits for none: its seal was removed, or never made"
        return Break(Damage.EVENT_NOT_SEALED, chain.position + 1, astray, message)
    vanished = await audit.vanished(org.id)
    if vanished is not None:
        message = "the event was removed before it was sealed"
        return Break(Damage.EVENT_REMOVED, None, vanished, message)
    return None
