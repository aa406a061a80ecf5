"""The asynchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from definitions.errors import InvalidInputError
from definitions.start import DEFAULT_ORG
from steploom.client.connecting import Connection
from steploom.client.execution import AsyncExecution, our_errors
from steploom.operations.reruns import rerun
from steploom.operations.starting import parse_start, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from steploom.client.connecting import Session


class AsyncClient:
    """Starts and follows executions, for one org and in the name of one actor.

    ::

        async with AsyncClient.connect() as client:
            execution = await client.start("refund", input={"amount": 42})
            print(await execution.result())

    Safe to use by any number of tasks of one event loop; keep one for the life of a program.
    ``Client`` is the same for programs without an event loop.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        *,
        address: str | None = None,
        namespace: str | None = None,
        api_key: str | None = None,
        tls: bool | None = None,
        tls_ca: Path | str | None = None,
        tls_cert: Path | str | None = None,
        tls_key: Path | str | None = None,
        task_queue: str | None = None,
        database: str | Literal[False] | None = None,
        org: str = DEFAULT_ORG,
        actor: str | None = None,
    ) -> AsyncIterator[Self]:
        """A connected client.

        What is left out is what ``STEPLOOM_*`` says, then Temporal's own environment configuration,
        then the `steploom dev` that runs in this folder. It needs Temporal only; what reads the
        record needs a database, and so do checks before a start.

        Args:
            address: Temporal's host and port. Given: nothing is taken from `steploom dev`.
            namespace: Temporal's namespace.
            api_key: An API key for Temporal Cloud. Turns TLS on.
            tls: Connect to Temporal with TLS.
            tls_ca: PEM file of the CA that signed Temporal's certificate.
            tls_cert: PEM file of the client certificate (mutual TLS).
            tls_key: PEM file of its key.
            task_queue: The workers' task queue.
            database: Postgres, as ``postgresql://user:password@host:port/database``; False: none,
                whatever the environment says.
            org: The org, by its slug (with a database also by its id).
            actor: Who acts; kept on record. Not given: the user of this machine.

        Raises:
            UnreachableError: Temporal is not set up or does not answer, or the database does not.
            NotFoundError: The database has no such org.
            InvalidInputError: A setting is unusable.
        """
        connection = Connection(
            address=address,
            namespace=namespace,
            api_key=api_key,
            tls=tls,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            task_queue=task_queue,
            database=database,
            org=org,
            actor=actor,
        )
        async with connection.open() as session:
            yield cls(session)

    @property
    def org(self) -> str:
        """The org's slug."""
        return self._session.org.slug

    @property
    def actor(self) -> str:
        """Who acts."""
        return self._session.actor

    async def start(
        self,
        workflow_id: str | None = None,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (the start object's own word for it)
        version: str | None = None,
        definition: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002 (the execution's)
        idempotency_key: str | None = None,
        correlation_id: str | None = None,
        channel: str | None = None,
        external_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AsyncExecution:
        """Starts an execution.

        With a database, everything that can be refused is refused here; without one the worker
        checks whether there is such a definition and whether the input fits, and ``result`` raises.

        Args:
            workflow_id: A registered definition.
            input: Its input; ``{}`` if left out.
            version: A version of it; the highest if left out.
            definition: A whole document, instead of ``workflow_id`` and ``version``.
            id: The execution id; one is made up if left out.
            idempotency_key: The same key again is the same execution. Not together with ``id``.
            correlation_id: What it belongs to.
            channel: Where it came from, such as ``web``.
            external_id: Its id in another system.
            tags: Names and values to filter by, up to 50.
            metadata: A free object, kept with it.

        Raises:
            InvalidInputError: The input does not fit or is too large, or an argument is unusable.
            InvalidDocumentError: The definition has errors.
            NotFoundError: No such definition or version.
            ConflictError: The id, or the key for another request, was used before.
            UnreachableError: Temporal or Postgres does not answer.
        """
        session = self._session
        request = parse_start(
            {
                "workflowId": workflow_id,
                "version": version,
                "definition": _plain(definition),
                "input": _plain(input) if input is not None else {},
                "orgId": None if session.org.slug == DEFAULT_ORG else session.org.slug,
                "channel": channel,
                "externalId": external_id,
                "correlationId": correlation_id,
                "idempotencyKey": idempotency_key,
                "userId": session.actor,
                "tags": _plain(tags),
                "metadata": _plain(metadata),
            }
        )
        with our_errors():
            run = await start(session.services, request, execution_id=id)
        return AsyncExecution(session, run.execution_id, run)

    async def rerun(
        self,
        execution: str,
        from_step: str,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (the start object's own word for it)
        reason: str | None = None,
        id: str | None = None,  # noqa: A002 (the execution's)
    ) -> AsyncExecution:
        """Goes on from a step of an execution that has ended, as a new one. Needs a database.

        Args:
            execution: The earlier one, by any of its names.
            from_step: The step of its main path to go on from; it is done anew.
            input: A new input; the earlier one's if left out.
            reason: Why; kept on record.
            id: The new execution's id.

        Raises:
            NotFoundError: No such execution.
            RefusedError: It cannot be run again from there.
            InvalidInputError: The input does not fit, or an argument is unusable.
            ConflictError: The id was used before.
            UnreachableError: The client has no database, or a service does not answer.
        """
        session = self._session
        asked = {"executionId": execution, "fromStep": from_step, "reason": reason}
        request = parse_start(
            {
                "rerun": {name: value for name, value in asked.items() if value is not None},
                "input": _plain(input),
                "orgId": None if session.org.slug == DEFAULT_ORG else session.org.slug,
                "userId": session.actor,
            }
        )
        with our_errors():
            run = await rerun(session.services, request, execution_id=id)
        return AsyncExecution(session, run.execution_id, run)

    def get(self, execution_id: str) -> AsyncExecution:
        """An execution by its id; with a database also by its UUID, or that one's beginning.

        Nothing is asked yet: what is not there is told by the first method that asks.

        Raises:
            InvalidInputError: The id is empty.
        """
        if not execution_id:
            raise InvalidInputError("an execution id is not empty")
        return AsyncExecution(self._session, execution_id)


def _plain(given: Any) -> Any:
    """A mapping as the start object has it; anything else is for its check to refuse."""
    return dict(given) if isinstance(given, Mapping) else given
