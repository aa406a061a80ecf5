"""Which runs may read which big values (the table ``payloads``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from adapters.postgres.database import Database

#: Part of a recorder's transaction: of an org, a list of rows as JSON. Again: nothing changes.
ADD_PAYLOADS = sql.SQL("""
INSERT INTO payloads (org_id, instance_id, sha256, size)
SELECT DISTINCT {}::uuid, r.instance_id, r.sha256, r.size
FROM jsonb_to_recordset({}::jsonb) AS r (instance_id uuid, sha256 text, size bigint)
ORDER BY 2, 3
ON CONFLICT DO NOTHING
""")
_USED = "SELECT DISTINCT sha256 FROM payloads WHERE org_id = %s AND sha256 = ANY(%s)"


async def used_payloads(database: Database, org_id: UUID, hashes: Sequence[str]) -> frozenset[str]:
    """Those of the big values of an org that any run may still read."""
    async with database.transaction(org_id) as connection:
        cursor = await connection.execute(_USED, (org_id, list(hashes)))
        return frozenset(row["sha256"] for row in await cursor.fetchall())
