"""The events of an org's runs, as they are recorded.

The order in which events get their numbers and times is not the order in which they are committed:
one that began earlier can appear later. So what was recorded within ``WINDOW`` before the newest is
read again, and what was seen is known by its id.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from uuid import UUID

    from adapters.postgres.reader import PostgresReader
    from definitions.views import OutboxView

#: How long a transaction that records an event may take without being missed.
WINDOW = timedelta(minutes=1)
#: Seconds between two looks.
_EVERY = 1.0
_PAGE = 500
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


async def tail(
    reader: PostgresReader,
    org_id: UUID,
    *,
    since: datetime | None = None,
    newest: int = 20,
    types: Sequence[str] | None = None,
    execution_id: str | None = None,
    follow: bool = False,
) -> AsyncGenerator[OutboxView, None]:
    """Each event once.

    Args:
        reader: The record.
        org_id: Whose.
        since: Those recorded since then.
        newest: Without ``since``, so many of the latest.
        types: Only these.
        execution_id: Only of the runs of this name.
        follow: For ever, as they come.
    """
    start = since
    if start is None and newest:
        start = await reader.outbox_begin(org_id, newest, types=types, execution_id=execution_id)
        start = start or _BEGIN
    # Beginning with nothing that is there already still needs to know what that is.
    silent = start is None
    start = start or datetime.now(UTC) - WINDOW
    seen: dict[UUID, datetime] = {}
    while True:
        latest = start
        moment, after = start, (-1, -1)
        while True:
            page = await reader.outbox_page(
                org_id,
                since=moment,
                after=after,
                types=types,
                execution_id=execution_id,
                limit=_PAGE,
            )
            for event in page:
                recorded = event.recorded_at or start
                latest = max(latest, recorded)
                if event.event_id not in seen:
                    seen[event.event_id] = recorded
                    if not silent:
                        yield event
            if len(page) < _PAGE:
                break
            moment = page[-1].recorded_at or moment
            after = (page[-1].seq, page[-1].id)
        if not follow:
            return
        silent = False
        start = max(start, latest - WINDOW)
        seen = {name: at for name, at in seen.items() if at >= start}
        await asyncio.sleep(_EVERY)
