"""Whose executions: an org by its name, with a database or without."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from definitions.errors import InvalidInputError
from definitions.identity import org_id
from definitions.ports import Organization

if TYPE_CHECKING:
    from steploom.services import Services


_SLUG = re.compile(r"[A-Za-z0-9-]{1,63}")


async def find_org(services: Services, name: str) -> Organization:
    """The org of this slug or id.

    Without a database nobody knows whether it exists (the worker refuses its runs then), and an id
    does not say which slug it belongs to.

    Raises:
        NotFoundError: There is none.
        InvalidInputError: There is no database, and this is no slug.
    """
    if services.recorded:
        return await services.store.find_org(name)
    if _SLUG.fullmatch(name) is None or _is_uuid(name):
        raise InvalidInputError(
            f"without a database an org is named by its slug, and {name!r} is none",
            hint="give the slug, such as acme, or a database",
        )
    made = datetime.fromtimestamp(0, UTC)
    return Organization(id=org_id(name), slug=name, name=name, created_at=made)


def _is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
