"""What the house needs of the world, as protocols. ``adapters`` implements them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from definitions.document import Definition
    from definitions.records import RecordBatch
    from definitions.tasks import TaskSpec


class StoredVersion(BaseModel):
    """One immutable version of a definition. ``document`` is the JSON as it was registered."""

    model_config = ConfigDict(frozen=True)

    definition_id: UUID
    version_id: UUID
    org_id: UUID
    workflow_id: str
    version: str
    content_hash: str
    document: dict[str, Any]
    listed: bool = True
    created_by: str | None = None
    created_at: datetime
    #: Whether this call stored it; False when the same content was there already.
    created: bool = False


class Organization(BaseModel):
    """A tenant. ``slug`` is its name in commands and start objects."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    slug: str
    name: str
    created_at: datetime


class DefinitionStore(Protocol):
    """Where definitions are kept. Every method sees one org alone."""

    async def find_org(self, org: str) -> Organization:
        """The org with this slug or id.

        Raises:
            NotFoundError: There is none.
        """
        ...

    async def register(
        self,
        org_id: UUID,
        definition: Definition,
        document: dict[str, Any],
        *,
        listed: bool = True,
        created_by: str | None = None,
    ) -> StoredVersion:
        """Stores a validated version; the same content again is a no-op.

        Raises:
            ConflictError: This version is registered with other content.
        """
        ...

    async def get(self, org_id: UUID, workflow_id: str, version: str | None) -> StoredVersion:
        """A version, or with ``None`` the highest by semantic versioning (pre-releases last).

        Raises:
            NotFoundError: No such definition or version.
        """
        ...

    async def get_version(self, org_id: UUID, version_id: UUID) -> StoredVersion:
        """A version by its id, listed or not.

        Raises:
            NotFoundError: This org has none of this id.
        """
        ...

    async def describe_tasks(self, version: StoredVersion, tasks: Mapping[str, TaskSpec]) -> None:
        """Keeps what the tasks of a version's steps take and give. Again: nothing changes."""
        ...

    async def versions(self, org_id: UUID, workflow_id: str) -> Sequence[StoredVersion]:
        """All listed versions, the highest first."""
        ...


class Recorder(Protocol):
    """Where a run's facts are written."""

    async def write(self, batch: RecordBatch) -> None:
        """Commits a batch; returns when it is durable. The same batch again changes nothing.

        Raises:
            UnreachableError: The database did not answer; nothing, or all of it, was written.
        """
        ...
