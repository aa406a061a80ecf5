"""Opening what a client works with: Temporal, and the record where there is one."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from definitions.start import DEFAULT_ORG
from steploom.client.leaving import settle_at_exit
from steploom.operations.orgs import find_org
from steploom.services import load_settings, open_services, resolve_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from definitions.ports import Organization
    from steploom.services import Service, Services
    from worker.settings import Settings

#: Connections to Postgres that one client keeps at most.
_POOL_SIZE = 8


@dataclass(frozen=True, slots=True)
class Session:
    """A client's connections, the org that it acts for, and who acts."""

    services: Services
    org: Organization
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where to connect, and as whom. What is None is what the environment says.

    Attributes:
        address: Temporal's host and port.
        namespace: Temporal's namespace.
        api_key: An API key for Temporal Cloud. Turns TLS on.
        tls: Connect to Temporal with TLS.
        tls_ca: PEM file of the CA that signed Temporal's certificate.
        tls_cert: PEM file of the client certificate (mutual TLS).
        tls_key: PEM file of its key.
        task_queue: The workers' task queue.
        database: Postgres, as ``postgresql://user:password@host:port/database``; False: none.
        org: The org, by its slug (with a database also by its id).
        actor: Who acts; kept on record. Not given: the user of this machine.
    """

    address: str | None = None
    namespace: str | None = None
    api_key: str | None = None
    tls: bool | None = None
    tls_ca: Path | str | None = None
    tls_cert: Path | str | None = None
    tls_key: Path | str | None = None
    task_queue: str | None = None
    database: str | Literal[False] | None = None
    org: str = DEFAULT_ORG
    actor: str | None = None

    def settings(self) -> Settings:
        """The settings: what was given, the environment's, those of `steploom dev` here."""
        given: dict[str, Any] = {
            "temporal_address": self.address,
            "temporal_namespace": self.namespace,
            "temporal_api_key": self.api_key,
            "temporal_tls": self.tls,
            "temporal_tls_ca": self.tls_ca,
            "temporal_tls_cert": self.tls_cert,
            "temporal_tls_key": self.tls_key,
            "task_queue": self.task_queue,
            "database_url": self.database or None,
        }
        settings = load_settings(**given)
        # Who names a Temporal does not mean the database of another one that runs here.
        resolved = settings if self.address else resolve_settings(settings, Path.cwd())
        if self.database is False:
            return resolved.model_copy(update={"database_url": None})
        return resolved

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Session]:
        """Connects.

        Raises:
            UnreachableError: Temporal is not set up or does not answer, or the database does not.
            NotFoundError: The database has no such org.
            InvalidInputError: A setting is unusable.
        """
        settle_at_exit()
        settings = self.settings()
        needs: set[Service] = {"temporal"}
        if settings.database_url is not None:
            needs.add("postgres")
        actor = self.actor or os.environ.get("USER") or "client"
        async with open_services(settings, needs, pool_size=_POOL_SIZE) as services:
            yield Session(services, await find_org(services, self.org), actor)
