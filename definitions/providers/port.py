"""The one interface through which programs start and follow executions, whatever engine runs them.

``steploom.testing.provider_contract`` holds a provider against all that is said here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from definitions.providers.types import (
        CreateWorkflowResult,
        ExecutionEvent,
        ExecutionInput,
        ExecutionResult,
        ExecutionState,
        ExecutionStatus,
        WorkflowSpec,
    )


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """A page of executions, newest first, each without its input, output and history.

    ``next`` is the ``after`` of the page behind it, if there is one.
    """

    items: Sequence[ExecutionStatus]
    next: str | None = None


class WorkflowProvider(Protocol):
    """Workflows and their executions in one engine, as one tenant sees them.

    Any method may raise ``UnavailableError``, and ``UnsupportedError`` for what its engine cannot
    do. What belongs to another tenant is ``ProviderNotFoundError``, like what is not there.
    """

    @property
    def provider_type(self) -> str:
        """The name in ``WorkflowSpec.provider_type``."""
        ...

    async def create(self, spec: WorkflowSpec) -> CreateWorkflowResult:
        """Creates a workflow. The same spec again gives the same result.

        Raises:
            SpecError: The definition, or what else the engine must agree to, is unusable.
            AlreadyExistsError: There is a workflow of this id with another definition.
        """
        ...

    async def start(self, workflow_id: str, given: ExecutionInput) -> ExecutionResult:
        """Starts an execution.

        The same name with the same input gives the execution that was started first, running or
        ended, also when both starts happen at the same instant. No name: always a new one.

        Raises:
            ProviderNotFoundError: No such workflow.
            SpecError: The input is not one that the workflow takes.
            AlreadyExistsError: The workflow has an execution of this name with another input.
        """
        ...

    async def status(self, execution_id: str, *, history: bool = False) -> ExecutionStatus:
        """An execution as it stands; ``history``: with all its events.

        Raises:
            ProviderNotFoundError: No such execution.
        """
        ...

    def history(self, execution_id: str, *, page_size: int = 100) -> AsyncIterator[ExecutionEvent]:
        """What happened in an execution so far, the first event first.

        Args:
            execution_id: Which one.
            page_size: How many events are fetched at a time, as one goes.

        Raises:
            ProviderNotFoundError: No such execution; at the first event.
        """
        ...

    async def cancel(self, execution_id: str, *, reason: str | None = None) -> None:
        """Asks an execution to end as cancelled. One that has ended stays as it is.

        Raises:
            ProviderNotFoundError: No such execution.
        """
        ...

    async def list(
        self,
        workflow_id: str,
        *,
        state: ExecutionState | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> ExecutionPage:
        """A page of a workflow's executions, newest first.

        Args:
            workflow_id: Whose executions.
            state: Only these.
            tags: Only those that have all of these tags.
            limit: The most to return, up to ``limits.MAX_PAGE``.
            after: ``ExecutionPage.next`` of the page before.

        Raises:
            ProviderNotFoundError: No such workflow.
            SpecError: ``limit`` is out of range, or ``after`` is none of ours.
        """
        ...

    async def signal(self, execution_id: str, name: str, data: Any = None) -> None:
        """Sends an execution an event of this name. One that has ended is refused it.

        Raises:
            ProviderNotFoundError: No such execution.
            SpecError: The name or the data is unusable.
            ProviderConflictError: It has ended.
        """
        ...

    async def delete(self, workflow_id: str) -> None:
        """Takes a workflow away, so that no execution of it is started any more.

        Whether executions of it go on, and can be looked at afterwards, is the engine's matter.

        Raises:
            ProviderNotFoundError: No such workflow.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """For whom a provider is opened.

    Attributes:
        org: The tenant: the slug of an org.
        actor: Who acts, for the record.
        settings: The settings of steploom (``worker.settings.Settings``), for those that use it.
        options: What else the provider's own documentation names.
    """

    org: str = "default"
    actor: str = "provider"
    settings: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)


class ProviderFactory(Protocol):
    """What an entry point of the group ``steploom.providers`` names: it opens a provider."""

    def __call__(self, context: ProviderContext) -> AbstractAsyncContextManager[WorkflowProvider]:
        """The provider, open while the ``async with`` is."""
        ...
