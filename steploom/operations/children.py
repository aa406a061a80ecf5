"""Documents on their way in, held against the definitions that they run by ``core.workflow``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.errors import NotFoundError
from definitions.validation.api import validate
from definitions.validation.children import child_calls, registered_among
from definitions.validation.outline import outline_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.jsontypes import JsonObject
    from definitions.ports import Organization
    from definitions.validation.children import Registered
    from steploom.operations.documents import Checked
    from steploom.services import Services


async def check_children(
    services: Services, org: Organization, documents: Sequence[Checked]
) -> list[Checked]:
    """The documents with what can be said once the definitions that they run are known.

    Those are the registered ones, and the documents themselves, which are registered together.
    """
    given = [one.report.document for one in documents if isinstance(one.report.document, dict)]
    registered = registered_among([*given, *await _below(services, org, given)])
    return [_again(one, registered) for one in documents]


def _again(one: Checked, registered: Registered) -> Checked:
    document = one.report.document
    if not one.ok() or next(child_calls(outline_of(document)), None) is None:
        return one  # Nothing more can be found.
    return one.again(validate(document, catalogue=one.catalogue, registered=registered))


async def _below(
    services: Services, org: Organization, documents: Sequence[JsonObject]
) -> list[JsonObject]:
    """The registered definitions that these run, and those that they run in turn."""
    found: list[JsonObject] = []
    asked: set[tuple[str, str | None]] = set()
    todo = list(documents)
    while todo:
        for call in child_calls(outline_of(todo.pop())):
            key = (call.workflow_id, call.version)
            if key in asked:
                continue
            asked.add(key)
            try:
                stored = await services.store.get(org.id, *key)
            except NotFoundError:
                continue
            found.append(stored.document)
            todo.append(stored.document)
    return found
