"""What the house needs of the world, as protocols. ``adapters`` implements them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from definitions.calls import TaskEnvelope
    from definitions.document import Definition
    from definitions.records import ErrorInfo, RecordBatch
    from definitions.tasks import TaskSpec
    from definitions.views import InstanceView, StepView


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


class RunReader(Protocol):
    """Where the record of earlier runs is read."""

    async def find_instance(self, org_id: UUID, name: str) -> InstanceView:
        """One run by its id, its execution id (then its latest run), or the id's beginning.

        Raises:
            NotFoundError: No such run in this org.
            ConflictError: Several ids begin so.
        """
        ...

    async def steps(self, org_id: UUID, instance_id: UUID) -> Sequence[StepView]:
        """The steps of a run in the order in which they began, each with its attempts."""
        ...

    async def reruns_of(self, org_id: UUID, instance_id: UUID) -> Sequence[InstanceView]:
        """The runs that went on from this one, the latest first."""
        ...


class Recorder(Protocol):
    """Where a run's facts are written."""

    async def write(self, batch: RecordBatch) -> None:
        """Commits a batch; returns when it is durable. The same batch again changes nothing.

        Raises:
            UnreachableError: The database did not answer; nothing, or all of it, was written.
        """
        ...


class StoredPayload(NamedTuple):
    """A value in the payload store. ``stored_at``: when it was put there last, UTC."""

    sha256: str
    size: int
    stored_at: datetime


class PayloadStore(Protocol):
    """Where big values are kept: bytes by their SHA-256, each org's apart.

    Every method raises ``UnreachableError`` when the store does not answer.
    """

    async def put(self, org_id: UUID, sha256: str, content: bytes) -> None:
        """Stores bytes under their hash; returns when they are durable. Again: as if new."""
        ...

    async def get(self, org_id: UUID, sha256: str) -> bytes:
        """What was stored under a hash, unchecked.

        Raises:
            NotFoundError: This org has nothing under it.
        """
        ...

    def stored(self, org_id: UUID) -> AsyncIterator[StoredPayload]:
        """Everything that an org has stored."""
        ...

    async def remove(self, org_id: UUID, sha256: str, *, before: datetime) -> bool:
        """Removes what was last put there before a time; returns whether it did."""
        ...


class WatchedRequest(Protocol):
    """One HTTP request that a task makes."""

    #: What is sent along, so that the other side can go on with the trace.
    headers: Mapping[str, str]

    def answered(self, status: int) -> None:
        """The response's status has come."""
        ...


class WatchedAttempt(Protocol):
    """One attempt of a task, while it runs."""

    def failed(self, error: ErrorInfo) -> None:
        """The attempt failed so."""
        ...

    def request(self, method: str, url: str) -> AbstractContextManager[WatchedRequest]:
        """To be held around an HTTP request of the attempt; an exception out of it failed it."""
        ...


class Telemetry(Protocol):
    """Who watches the work of a worker, beside the record. It never stands in its way."""

    def attempt(
        self, envelope: TaskEnvelope, number: int
    ) -> AbstractContextManager[WatchedAttempt]:
        """To be held around an attempt, its write to the record included."""
        ...
