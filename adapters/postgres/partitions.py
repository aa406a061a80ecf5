"""The months of the partitioned tables, made before they are needed.

``steploom migrate`` makes those of now and of the coming months; a worker makes them at its start
and goes on to do so. A month that nobody made costs no record: its rows stand in the default
partition.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from psycopg import errors

from definitions.errors import SteploomError

if TYPE_CHECKING:
    from adapters.postgres.database import Database

#: Seconds between two looks. Months are made three ahead, so many looks may fail.
EVERY = 24 * 60 * 60.0

_log = structlog.get_logger(__name__)


async def make_partitions(database: Database) -> int:
    """Makes this month's partitions and the coming ones' that are lacking; returns how many.

    Raises:
        UnreachableError: The database does not answer.
        SteploomError: The tables were in use all the time, or we may not.
    """
    try:
        async with database.transaction(None) as connection:
            cursor = await connection.execute("SELECT create_execution_partitions() AS made")
            row = await cursor.fetchone()
    except (
        errors.LockNotAvailable,
        errors.DeadlockDetected,
        errors.InsufficientPrivilege,
    ) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SteploomError(
            f"the coming months' partitions are not made: {reason}", hint="steploom migrate"
        ) from error
    return int(row["made"]) if row is not None else 0


async def keep_partitions(database: Database, every: float = EVERY) -> None:
    """Makes partitions now and again, until it is cancelled. What fails is tried the next time."""
    while True:
        try:
            await make_partitions(database)
        except SteploomError as error:
            _log.warning("partitions_not_made", reason=error.message)
        await asyncio.sleep(every)
