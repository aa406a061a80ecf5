"""Checks the audit events of an archive: their chain needs neither a database nor the network."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from definitions.errors import InvalidInputError, NotFoundError
from definitions.seals import Break, Chain, Damage, Link
from steploom.operations.archive import MANIFEST
from steploom.operations.auditing import is_head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from steploom.operations.auditing import Head


@dataclass(frozen=True, slots=True)
class ArchivedChain:
    """What the check of an org's files found.

    ``first``: the position of the first link in the archive. ``sealed``, ``head`` and ``broken``
    are as in ``Verdict``.
    """

    org: str
    first: int
    sealed: int
    head: str
    broken: Break | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "org": self.org,
            "whole": self.broken is None,
            "first": self.first,
            "sealed": self.sealed,
            "head": self.head,
            "broken": self.broken.to_json() if self.broken is not None else None,
        }


def verify_archive(
    directory: Path, org: str | None = None, expected: Head | None = None
) -> list[ArchivedChain]:
    """Follows the chains that ``steploom audit prune --archive`` has written.

    Args:
        directory: The archive.
        org: Whose, by slug or id; None: of every org that is there.
        expected: A head that must be in the chain, such as the anchor.

    Raises:
        InvalidInputError: It is no archive, or has no audit events at all.
        NotFoundError: It has no audit events of this org.
    """
    entries = _entries(directory)
    if not entries:
        raise InvalidInputError(f"the archive {directory} has no audit events")
    names = {entry["org"]: entry["orgId"] for entry in entries}
    wanted = sorted(slug for slug, identity in names.items() if org in {None, slug, identity})
    if org is not None and not wanted:
        raise NotFoundError("archived audit events of", org, hint="--org all checks what is there")
    return [
        _check(directory, [entry for entry in entries if entry["org"] == slug], expected)
        for slug in wanted
    ]


def _entries(directory: Path) -> list[dict[str, Any]]:
    """What the manifest says of files with audit events, in their order."""
    try:
        # Bytes: a text would also be split where a name has a separator of Unicode's.
        lines = (directory / MANIFEST).read_bytes().splitlines()
        # A file that was written again: its last line counts.
        entries = {entry["file"]: entry for entry in map(json.loads, lines)}
        found = [entry for entry in entries.values() if "audit" in entry]
        return sorted(found, key=lambda one: (one["audit"]["first"], one["audit"]["last"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{directory} is no archive: its {MANIFEST} cannot be read ({error})",
            hint="give the directory that `steploom audit prune --archive` wrote to",
        ) from error


def _check(
    directory: Path, entries: Sequence[dict[str, Any]], expected: Head | None
) -> ArchivedChain:
    start = entries[0]["audit"]
    chain = Chain(start["first"] - 1, start["previousHash"])
    seen = expected is None or is_head(expected, chain)
    broken = None
    for entry in entries:
        links = _links(directory, entry, chain)
        for link in links if isinstance(links, list) else ():
            if link.position <= chain.position:
                # Who was interrupted has written it once more.
                continue
            broken = chain.follow(link)
            if broken is not None:
                break
            seen = seen or is_head(expected, chain)
        broken = links if isinstance(links, Break) else broken
        if broken is not None:
            break
    if broken is None and expected is not None and not seen:
        message = "the head that is expected is not in the archive"
        broken = Break(Damage.HEAD_MISSING, expected.position, None, message)
    head = f"{chain.hash}@{chain.position}"
    sealed = chain.position - start["first"] + 1
    return ArchivedChain(entries[0]["org"], start["first"], sealed, head, broken)


def _links(directory: Path, entry: dict[str, Any], chain: Chain) -> list[Link] | Break:
    """The links of a file, or what is wrong with it."""
    place, name = chain.position + 1, entry["file"]
    try:
        content = (directory / name).read_bytes()
    except OSError as error:
        message = f"the file {name} cannot be read: {error.strerror}"
        return Break(Damage.FILE_REMOVED, place, None, message)
    changed = Break(
        Damage.FILE_CHANGED, place, None, f"the file {name} is not the one that was written"
    )
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        return changed
    try:
        lines = [json.loads(line) for line in gzip.decompress(content).splitlines()[1:]]
        return [
            Link(
                position=line["position"],
                event_id=UUID(json.loads(line["event"])["event_id"]),
                event_hash=line["eventHash"],
                previous_hash=line["previousHash"],
                hash=line["hash"],
                text=line["event"],
            )
            for line in lines
        ]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        # The manifest was changed as well.
        return changed
