"""Opening what a command needs: settings completed with what runs here, Postgres, Temporal.

Nothing here prints. Temporal's and Postgres's libraries are imported when they are first needed, so
that a command that needs neither starts at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from pydantic import SecretStr, ValidationError

from definitions.errors import InvalidInputError, UnreachableError
from steploom.devinfo import discover
from worker.connections import database_url
from worker.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client, Interceptor

    from adapters.postgres.audit import Audit
    from adapters.postgres.configs import PostgresConfigStore
    from adapters.postgres.database import Database
    from adapters.postgres.definitions import PostgresDefinitionStore
    from adapters.postgres.outbox import Outbox
    from adapters.postgres.reader import PostgresReader

Service = Literal["temporal", "postgres"]
BOTH: frozenset[Service] = frozenset({"temporal", "postgres"})

#: Seconds that the end of a command may wait for a collector of traces.
_LAST_EXPORT = 2.0
#: A command makes one query at a time.
_POOL_SIZE = 2
_START_HINT = "start one with `steploom dev`, or set "


def load_settings(**given: Any) -> Settings:
    """The settings of the environment; what is given (and not None) goes before them.

    Raises:
        InvalidInputError: A variable has a value that it cannot have; all such are named.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        from definitions.wording import misfit_words  # noqa: PLC0415 (heavy, as all of these)

        wrong = "; ".join(
            f"STEPLOOM_{'_'.join(str(part) for part in one['loc']).upper()}: "
            + misfit_words(one, found=False)
            for one in error.errors(include_url=False)
        )
        raise InvalidInputError(
            f"the environment has unusable settings: {wrong}",
            hint="correct or unset the variable",
        ) from None


def resolve_settings(settings: Settings, folder: Path) -> Settings:
    """The settings with the services of the ``steploom dev`` that runs in this folder.

    For each service on its own: what ``STEPLOOM_*`` says goes first, then (for Temporal) Temporal's
    own environment configuration, which is left to ``connect``, and what runs here comes last.
    """
    temporal_is_known = settings.temporal_address is not None or _temporal_configured()
    if temporal_is_known and settings.database_url is not None:
        return settings
    info = discover(folder)
    if info is None:
        return settings
    found: dict[str, Any] = {}
    if not temporal_is_known:
        found["temporal_address"] = info.temporal
        if "temporal_namespace" not in settings.model_fields_set:
            found["temporal_namespace"] = info.namespace
    if settings.temporal_ui_url is None and (
        not temporal_is_known or settings.temporal_address == info.temporal
    ):
        found["temporal_ui_url"] = info.temporal_ui
    if settings.database_url is None:
        found["database_url"] = SecretStr(info.database)
        found["payloads"] = settings.payloads or info.payloads
    return settings.model_copy(update=found)


def _temporal_configured() -> bool:
    """Whether Temporal's own environment configuration says where Temporal is."""
    if os.environ.get("TEMPORAL_ADDRESS"):
        return True
    file = os.environ.get("TEMPORAL_CONFIG_FILE")
    if file is None:
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        file = str(Path(home) / "temporalio" / "temporal.toml")
    if not Path(file).is_file():
        return False
    from temporalio.envconfig import ClientConfig  # noqa: PLC0415 (only with such a file)

    return "target_host" in ClientConfig.load_client_connect_config()


@dataclass(frozen=True, slots=True)
class Services:
    """What a command or a client works with. Postgres may not be there; Temporal mostly is."""

    settings: Settings
    _client: Client | None = None
    _database: Database | None = None

    @property
    def client(self) -> Client:
        """Temporal's client."""
        if self._client is None:
            raise AssertionError("Temporal was not opened")
        return self._client

    @property
    def recorded(self) -> bool:
        """Whether the record can be read: whether Postgres was opened."""
        return self._database is not None

    @property
    def database(self) -> Database:
        """Postgres itself.

        Raises:
            UnreachableError: There is no database. So say those below.
        """
        if self._database is None:
            raise UnreachableError(
                "Postgres",
                "this is read from the record, and no database is set up",
                hint="set STEPLOOM_DATABASE_URL, or give the client a database",
            )
        return self._database

    @property
    def store(self) -> PostgresDefinitionStore:
        """Definitions, orgs and users."""
        from adapters.postgres.definitions import PostgresDefinitionStore  # noqa: PLC0415

        return PostgresDefinitionStore(self.database)

    @property
    def reader(self) -> PostgresReader:
        """The record."""
        from adapters.postgres.reader import PostgresReader  # noqa: PLC0415

        return PostgresReader(self.database)

    @property
    def configs(self) -> PostgresConfigStore:
        """Configurations and channels."""
        from adapters.postgres.configs import PostgresConfigStore  # noqa: PLC0415

        return PostgresConfigStore(self.database)

    @property
    def outbox(self) -> Outbox:
        """What waits to be published."""
        from adapters.postgres.outbox import Outbox  # noqa: PLC0415

        return Outbox(self.database)

    @property
    def audit(self) -> Audit:
        """The audit events and their seals."""
        from adapters.postgres.audit import Audit  # noqa: PLC0415

        return Audit(self.database)

    def run_url(self, execution_id: str, run_id: str | None) -> str | None:
        """The page of a run in Temporal's UI, where that has an address."""
        base = self.settings.temporal_ui_url
        if not base:
            return None
        namespace = self._client.namespace if self._client else self.settings.temporal_namespace
        page = f"{base.rstrip('/')}/namespaces/{quote(namespace, safe='')}/workflows"
        page += f"/{quote(execution_id, safe='')}"
        return f"{page}/{quote(run_id, safe='')}/history" if run_id else page


@asynccontextmanager
async def open_services(
    settings: Settings, needs: Collection[Service] = BOTH, *, pool_size: int = _POOL_SIZE
) -> AsyncIterator[Services]:
    """Connects to what is needed, and closes it afterwards. ``settings`` are resolved ones.

    ``pool_size``: the most connections to Postgres.

    Raises:
        UnreachableError: A service is not set up or does not answer; the first of them.
        SteploomError: The database has another schema than this code works with.
    """
    async with AsyncExitStack() as exits:
        database = client = None
        if "postgres" in needs:
            database = await _open_postgres(settings, exits, pool_size)
        if "temporal" in needs:
            client = await open_temporal(settings, _traced(exits))
        yield Services(settings, client, database)


async def _open_postgres(settings: Settings, exits: AsyncExitStack, pool_size: int) -> Database:
    from adapters.postgres.database import Database  # noqa: PLC0415 (see the module's docstring)
    from adapters.postgres.schema import check_schema  # noqa: PLC0415

    database = Database(database_url(settings), pool_size=pool_size)
    await exits.enter_async_context(database)
    await check_schema(database)
    return database


def _traced(exits: AsyncExitStack) -> Sequence[Interceptor]:
    """What makes a trace of the calls to Temporal, where the environment asks for one."""
    from adapters.telemetry.opening import open_client_telemetry  # noqa: PLC0415 (as above)

    opened = open_client_telemetry(os.environ)
    if opened is None:
        return ()
    providers, interceptor = opened
    exits.push_async_callback(asyncio.to_thread, providers.close, _LAST_EXPORT)
    return (interceptor,)


async def open_temporal(settings: Settings, interceptors: Sequence[Interceptor] = ()) -> Client:
    """A client of the settings' Temporal.

    Raises:
        UnreachableError: None is set up, or it does not answer.
    """
    require(settings, {"temporal"})
    from adapters.temporal.connection import connect  # noqa: PLC0415 (see the module's docstring)
    from worker.connections import temporal_connection  # noqa: PLC0415

    return await connect(temporal_connection(settings), interceptors)


def require(settings: Settings, needs: Collection[Service] = BOTH) -> None:
    """Returns when the (resolved) settings say where the services are.

    Raises:
        UnreachableError: They don't; the first of them.
    """
    if "postgres" in needs:
        database_url(settings)
    if "temporal" in needs and settings.temporal_address is None and not _temporal_configured():
        raise UnreachableError(
            "Temporal",
            "no Temporal is set up, and no `steploom dev` runs in this folder",
            hint=_START_HINT + "STEPLOOM_TEMPORAL_ADDRESS",
        )
