"""Reading a value of the payload store, as the record may show it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from adapters.postgres.payloads import used_payloads
from definitions.errors import NotFoundError

if TYPE_CHECKING:
    from uuid import UUID

    from adapters.postgres.database import Database
    from definitions.jsontypes import Json
    from definitions.ports import PayloadStore
    from definitions.redaction import Redactor


async def read_payload(
    database: Database, store: PayloadStore, redactor: Redactor, org_id: UUID, sha256: str
) -> Json:
    """A value, less what is not stored of values by their names.

    Raises:
        NotFoundError: No run of this org has to do with it, or the store lacks it.
        UnreachableError: The store does not answer.
    """
    wanted = sha256.strip().lower()
    if not await used_payloads(database, org_id, [wanted]):
        raise NotFoundError(
            "payload", sha256, hint="`steploom show EXECUTION` prints the hashes of big values"
        )
    return redactor.stored(json.loads(await store.get(org_id, wanted)))
