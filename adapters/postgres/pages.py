"""Pages of what is listed with the newest first: where one ends, the next one begins."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from definitions.errors import InvalidInputError


def page_end(moment: datetime, identity: UUID) -> str:
    """The end of a page whose last row has this time and id, as callers hand it back."""
    return f"{moment.isoformat()}_{identity}"


def read_page_end(text: str | None) -> tuple[datetime | None, UUID | None]:
    """The time and the id behind which a page begins; of None, the first page's.

    Raises:
        InvalidInputError: It is not the end of a page.
    """
    if text is None:
        return None, None
    time, _, identity = text.rpartition("_")
    try:
        # A time without a zone is none of ours: it is read as UTC, and gives a page all the same.
        moment = datetime.fromisoformat(time)
        return moment.replace(tzinfo=moment.tzinfo or UTC), UUID(identity)
    except ValueError:
        raise InvalidInputError(
            f"{text!r} is not the end of a page", hint="take it from `next` of the page before"
        ) from None
