"""The pool of connections, and the only ways of opening a transaction.

Every transaction says for which org it is (``app.current_org_id``), before anything else runs in
it. The setting is local to the transaction, so that a connection never carries one tenant's id into
another's work. Rows come as dictionaries.

Row level security does not bind superusers, and binds nobody who has no need of it. So who connects
as somebody that may act as the role ``steploom_app`` acts as that role in each transaction.
"""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import psycopg
from psycopg import errors, sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool
from typing_extensions import override

from adapters.postgres.urls import describe, libpq_url, unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from uuid import UUID

    from definitions.jsontypes import Json

#: A connection inside a transaction.
Connection: TypeAlias = psycopg.AsyncConnection[DictRow]

#: Failures of ours with the data or with each other's locks, which libpq's class of "operational"
#: errors also holds; all others of that class mean that the server is not there for us.
RETRYABLE = (errors.DeadlockDetected, errors.SerializationFailure)


#: Seconds for which a connection is tried for that nobody waits for any more.
_RECONNECT = 3.0
#: Seconds after which a connection is replaced. The plans of the recorder's functions live as long
#: as their session, and those that were made for empty tables are bad ones a minute later.
_LIFETIME = 60.0

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

#: The role that may do what the application does, and no more.
APP_ROLE = "steploom_app"

#: Whether we are somebody else who may act as it, and it has been given this database's tables.
_MAY_ACT = """
SELECT pg_has_role(
           current_user, r.oid,
           CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER'
                ELSE 'SET' END)
       AND has_table_privilege(r.oid, to_regclass('workflow_trace'), 'INSERT')
FROM pg_roles AS r
WHERE r.rolname = %s AND r.rolname <> current_user
"""


def dump_json(value: Json) -> str:
    """JSON text for ``jsonb``: integers with all their digits, no NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


class Database:
    """A pool of connections to one database.

    Args:
        url: ``postgresql://user:password@host:port/database``.
        pool_size: The most connections kept at a time.
        timeout: Seconds to wait for a connection before the database counts as unreachable.
        as_owner: Whether it is somebody who does what the application may not, and so never acts
            as the application's role.
    """

    def __init__(
        self, url: str, *, pool_size: int = 8, timeout: float = 10.0, as_owner: bool = False
    ) -> None:
        self._url = libpq_url(url)
        self._timeout = timeout
        self._pool_size = pool_size
        self._role: str | None = None
        self._as_owner = as_owner
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._url,
            open=False,
            min_size=1,
            max_size=pool_size,
            timeout=timeout,
            max_lifetime=_LIFETIME,
            name="steploom",
            configure=_configure,
            # A connection that cannot be made is tried for when somebody wants one, not ever more
            # seldom while the server is away.
            reconnect_timeout=_RECONNECT,
            kwargs={"row_factory": dict_row, **_connect_options(timeout)},
        )

    @override
    def __str__(self) -> str:
        return describe(self._url)

    async def open(self) -> None:
        """Connects.

        Raises:
            UnreachableError: The database does not answer.
        """
        try:
            # The pool would go on trying and only say that it timed out; this says why, and soon.
            probe = await psycopg.AsyncConnection.connect(
                self._url, **_connect_options(self._timeout)
            )
            cursor = await probe.execute(_MAY_ACT, (APP_ROLE,))
            row = await cursor.fetchone()
            may_act = row is not None and row[0] and not self._as_owner
            self._role = APP_ROLE if may_act else None
            await probe.close()
            await self._pool.open(wait=True, timeout=self._timeout)
        except psycopg.OperationalError as error:
            raise unreachable(self._url, error) from error

    async def close(self) -> None:
        """Closes all connections; transactions that are open are lost."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def transaction(
        self, org_id: UUID | None, *, snapshot: bool = False
    ) -> AsyncIterator[Connection]:
        """A transaction for one org (``None``: for none), committed unless its body raises.

        With ``snapshot`` it only reads, and every statement in it sees the same moment.

        Raises:
            UnreachableError: The database did not answer. When that happens at the commit, it may
                have been done all the same: what is written must bear being written again.
        """
        try:
            async with AsyncExitStack() as stack:
                yield await self._begin(stack, org_id, snapshot=snapshot)
        except RETRYABLE:
            raise
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            errors.ReadOnlySqlTransaction,
        ) as error:
            raise unreachable(self._url, error) from error

    async def call(self, org_id: UUID, statement: sql.Composable) -> None:
        """Does one statement in a transaction of its own for an org, in a single round trip.

        A statement that an answer did not come for is done once more, so it must bear that.

        Raises:
            UnreachableError: The database did not answer; it may have been done all the same.
        """
        # A message of several statements is one transaction, which is over before it is answered.
        message = sql.SQL("SELECT {}, {}; {}").format(
            sql.SQL("set_config('app.current_org_id', {}, true)").format(str(org_id)),
            sql.SQL("set_config('role', coalesce({}, current_setting('role')), true)").format(
                self._role
            ),
            statement,
        )
        try:
            try:
                async with self._pool.connection() as connection:
                    await _send(connection, message)
            except RETRYABLE:
                raise
            except psycopg.OperationalError:
                # As in ``_begin``: the server was restarted, and every pooled connection is dead.
                await self._pool.check()
                async with self._pool.connection() as connection:
                    await _send(connection, message)
        except RETRYABLE:
            raise
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            errors.ReadOnlySqlTransaction,
        ) as error:
            raise unreachable(self._url, error) from error

    async def _begin(
        self, stack: AsyncExitStack, org_id: UUID | None, *, snapshot: bool
    ) -> Connection:
        """A connection inside of a transaction, both of which the stack ends."""
        for last in (False, True):
            async with AsyncExitStack() as mine:
                try:
                    connection = await mine.enter_async_context(self._pool.connection())
                    await mine.enter_async_context(connection.transaction())
                    if snapshot:
                        # Before anything is read, for what is read first sets the moment.
                        await connection.execute(_SNAPSHOT)
                    await connection.execute(
                        "SELECT set_config('app.current_org_id', %s, true),"
                        " set_config('role', coalesce(%s, current_setting('role')), true)",
                        (str(org_id) if org_id else "", self._role),
                    )
                except psycopg.OperationalError:
                    await mine.__aexit__(*sys.exc_info())
                    if last:
                        raise
                else:
                    stack.push_async_exit(mine.pop_all())
                    return connection
            # The server was restarted, and so every pooled connection is dead. Nothing is done
            # yet: they are all replaced, and it begins again.
            await self._pool.check()
        raise AssertionError("the second try returns or raises")


async def _send(connection: Connection, message: sql.Composed) -> None:
    await connection.execute(message, prepare=False)


def _connect_options(timeout: float) -> dict[str, Any]:
    # A peer that vanishes without a word is noticed in about half a minute, not in the kernel's
    # quarter of an hour.
    return {
        "application_name": "steploom",
        "connect_timeout": max(2, round(timeout)),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


async def _configure(connection: Connection) -> None:
    # Transactions are begun by us alone.
    await connection.set_autocommit(True)
    # Times come back as UTC, whatever the server's own zone is.
    await connection.execute("SET TIME ZONE 'UTC'")
    set_json_dumps(dump_json, connection)
    set_json_loads(json.loads, connection)
