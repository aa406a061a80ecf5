"""Where events are kept that could not start what they should have.

Every method sees the letters of one org alone, or with ``None`` those of no org.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from adapters.postgres.database import dump_json
from definitions.deadletters import DeadLetter
from definitions.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from adapters.postgres.database import Database

#: The most that one list holds.
MAX_LIST = 1000

_PUT = """
INSERT INTO event_dead_letters AS d (
    id, org_id, event_id, event_type, source, workflow_id, code, reason, message, headers, topic,
    topic_partition, topic_offset
) VALUES (
    %(id)s, %(org_id)s, %(event_id)s, %(event_type)s, %(source)s, %(workflow_id)s, %(code)s,
    %(reason)s, %(message)s, %(headers)s, %(topic)s, %(topic_partition)s, %(topic_offset)s
)
ON CONFLICT (id) DO UPDATE SET
    code = excluded.code, reason = excluded.reason, attempts = d.attempts + 1,
    last_failed_at = now(), resolved_at = NULL
"""
_LETTERS = (
    "SELECT id, org_id, event_id, event_type, source, workflow_id, code, reason, headers, topic,"
    " topic_partition, topic_offset, attempts, first_failed_at, last_failed_at, resolved_at, {}"
    " FROM event_dead_letters WHERE org_id IS NOT DISTINCT FROM %(org)s"
)
_LIST = _LETTERS.format("''::bytea AS message") + (
    " AND (%(resolved)s OR resolved_at IS NULL) ORDER BY first_failed_at DESC, id LIMIT %(limit)s"
)
_FIND = _LETTERS.format("message") + " AND starts_with(id::text, %(name)s) LIMIT 2"


class PostgresDeadLetters:
    """The dead letters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, letter: DeadLetter) -> None:
        """Keeps a letter; one that is there already has failed once more.

        Raises:
            UnreachableError: The database does not answer; nothing, or all of it, was written.
        """
        values = {**letter.model_dump(), "headers": Jsonb(letter.headers, dump_json)}
        async with self._database.transaction(letter.org_id) as connection:
            await connection.execute(_PUT, values)

    async def list(
        self, org_id: UUID | None, *, resolved: bool = False, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """The letters, those that failed first last; ``resolved``: the resolved ones as well."""
        values = {"org": org_id, "resolved": resolved, "limit": limit}
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_LIST, values)
            return [DeadLetter.model_validate(row) for row in await cursor.fetchall()]

    async def find(self, org_id: UUID | None, name: str) -> DeadLetter:
        """One letter, with what came, by its id or the beginning of that.

        Raises:
            NotFoundError: There is none of this org.
            ConflictError: Several begin so.
        """
        values = {"org": org_id, "name": name.lower()}
        async with self._database.transaction(org_id) as connection:
            rows = await (await connection.execute(_FIND, values)).fetchall()
        if not rows or not name:
            raise NotFoundError("dead letter", name, hint="`steploom events dead` shows them")
        if len(rows) > 1:
            raise ConflictError(
                f"{name!r} is the beginning of several dead letters' ids", hint="give more of it"
            )
        return DeadLetter.model_validate(rows[0])

    async def resolve(self, org_id: UUID | None, letter_id: UUID) -> None:
        """Marks a letter as done with."""
        async with self._database.transaction(org_id) as connection:
            await connection.execute(
                "UPDATE event_dead_letters SET resolved_at = now()"
                " WHERE id = %s AND org_id IS NOT DISTINCT FROM %s",
                (letter_id, org_id),
            )
