"""Checks the chain of an org's audit events from its first link to its last."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from definitions.errors import InvalidInputError
from definitions.seals import Anchor, Break, Chain, Damage

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
    ``HASH@POSITION``. ``waiting``: the events that have no seal yet. ``anchor``: the link behind
    which the chain begins, where its oldest links were pruned.
    """

    org: str
    sealed: int
    head: str
    waiting: Waiting
    broken: Break | None
    anchor: Anchor | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        anchor = self.anchor
        return {
            "org": self.org,
            "whole": self.broken is None,
            "sealed": self.sealed,
            "head": self.head,
            "anchor": None
            if anchor is None
            else {
                "position": anchor.position,
                "hash": anchor.hash,
                "prunedAt": anchor.pruned_at.isoformat(),
                "prunedBy": anchor.pruned_by,
                "eventId": str(anchor.event_id),
            },
            "unsealed": self.waiting.events,
            "unsealedSince": self.waiting.since.isoformat() if self.waiting.since else None,
            "broken": self.broken.to_json() if self.broken is not None else None,
        }


async def verify(
    audit: Audit,
    org: Organization,
    expected: Head | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Verdict:
    """Follows a chain from its anchor to its end, or to its first break.

    Args:
        audit: Where the events are.
        org: Whose chain.
        expected: A head that was noted earlier: it must be in the chain.
        progress: Told after each page how many links are checked, and how many there were.
    """
    anchor = await audit.anchor(org.id)
    while True:
        verdict = await _verify(audit, org, anchor, expected, progress)
        if verdict.broken is None:
            return verdict
        # What is pruned while it is being read is missing as well: then all over again.
        anchor = await audit.anchor(org.id)
        if anchor == verdict.anchor:
            return verdict


async def _verify(
    audit: Audit,
    org: Organization,
    anchor: Anchor | None,
    expected: Head | None,
    progress: Callable[[int, int], None],
) -> Verdict:
    waiting = await audit.waiting(org.id)
    total = await audit.head(org.id)
    elsewhere: int | None = None
    chain = Chain(anchor.position, anchor.hash) if anchor is not None else Chain()
    seen = expected is None or (anchor is not None and is_head(expected, chain))
    broken = None
    async for page in audit.chain(org.id):
        for link in page:
            broken = chain.follow(link)
            if broken is not None:
                break
            seen = seen or is_head(expected, chain)
            if expected is not None and expected.hash == chain.hash:
                elsewhere = chain.position
        if broken is not None:
            break
        progress(chain.position, total)
    if broken is None and anchor is not None:
        broken = _begins(chain, anchor) or anchor.untold()
    if broken is None and expected is not None and not seen:
        broken = _missing(expected, chain, anchor, elsewhere)
    broken = broken or await _left_out(audit, org, chain)
    head = f"{chain.hash}@{chain.position}"
    sealed = chain.position - (anchor.position if anchor is not None else 0)
    return Verdict(org.slug, sealed, head, waiting, broken, anchor)


def _begins(chain: Chain, anchor: Anchor) -> Break | None:
    """The last link of a chain is never pruned, so one always follows the anchor."""
    if chain.position > anchor.position:
        return None
    message = "no seal is left behind the anchor, and the last one always stays: it was removed"
    return Break(Damage.SEAL_REMOVED, anchor.position + 1, None, message)


def is_head(expected: Head | None, chain: Chain) -> bool:
    """Whether a head that was noted is the last link that was followed."""
    if expected is None or expected.hash != chain.hash:
        return False
    return expected.position is None or expected.position == chain.position


def _missing(expected: Head, chain: Chain, anchor: Anchor | None, elsewhere: int | None) -> Break:
    """``elsewhere``: where the chain has the hash that is expected, if it has it."""
    position = expected.position
    if elsewhere is not None:
        message = (
            f"the hash that is expected stands at position {elsewhere} of the chain, "
            f"not at {position}: the position is not the one that goes with it"
        )
        return Break(Damage.HEAD_MISSING, position, None, message)
    if anchor is not None and position is not None and position < anchor.position:
        message = (
            f"the head that is expected is of before the chain's beginning: the links up to "
            f"{anchor.position} were pruned on {anchor.pruned_at:%Y-%m-%d} by {anchor.pruned_by}; "
            "expect a later head, or look for it in the archive"
        )
        return Break(Damage.HEAD_PRUNED, position, None, message)
    if position is not None and position <= chain.position:
        message = f"the seal {position} is not the one that is expected: it was made anew"
    else:
        message = (
            f"the chain ends at {chain.position} without the head that is expected: "
            "its end was removed or made anew"
        )
        if anchor is not None and position is None:
            message += f", or it is a head of before the link {anchor.position}, which was pruned"
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
