"""Seals the audit events of all orgs, now and again. Several workers may do so at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from datetime import timedelta

    from adapters.postgres.audit_seals import AuditSealer
    from adapters.postgres.definitions import PostgresDefinitionStore

_log = structlog.get_logger(__name__)


async def keep_sealing(
    store: PostgresDefinitionStore, sealer: AuditSealer, every: timedelta
) -> None:
    """Seals until it is cancelled; what fails is tried the next time. An interval of 0: never."""
    while every:
        try:
            sealed = await seal_everything(store, sealer)
            if sealed:
                _log.debug("audit_events_sealed", events=sealed)
        except Exception as error:  # noqa: BLE001 (a worker does not end for it, nor stop sealing)
            _log.warning("sealing_later", reason=str(error).partition("\n")[0])
        await asyncio.sleep(every.total_seconds())


async def seal_everything(store: PostgresDefinitionStore, sealer: AuditSealer) -> int:
    """Seals what is committed by now, org by org; returns how many events.

    Raises:
        UnreachableError: The database did not answer.
    """
    return sum([await sealer.seal_all(org.id) for org in await store.list_orgs()])
