"""Database addresses: the one of the settings, libpq's, SQLAlchemy's, and one safe to print."""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

from definitions.errors import InvalidInputError, UnreachableError

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+psycopg)?://")
START_HINT = "start one with `steploom dev`, or point STEPLOOM_DATABASE_URL at a running server"


def libpq_url(url: str) -> str:
    """``postgresql://…`` as libpq takes it; ``postgres://`` and ``postgresql+psycopg://`` as well.

    Raises:
        InvalidInputError: Not an address of a Postgres database. The message does not repeat it,
            for it may hold a password.
    """
    result, found = _SCHEME.subn("postgresql://", url, count=1)
    try:
        conninfo_to_dict(result)
    except psycopg.ProgrammingError:
        found = 0
    if not found:
        raise InvalidInputError(
            "the database URL is not of the form postgresql://user:password@host:port/database",
            hint="set STEPLOOM_DATABASE_URL to such a URL",
        ) from None
    return result


def sqlalchemy_url(url: str) -> str:
    """The address with SQLAlchemy's name of our driver, its password included."""
    return _SCHEME.sub("postgresql+psycopg://", libpq_url(url), count=1)


def with_database(url: str, name: str) -> str:
    """The address of another database on the same server."""
    from sqlalchemy.engine import make_url  # noqa: PLC0415 (slow to import, and rarely needed)

    changed = make_url(sqlalchemy_url(url)).set(database=name)
    return libpq_url(changed.render_as_string(hide_password=False))


def describe(url: str) -> str:
    """``host:port/database``, without user or password."""
    parts = conninfo_to_dict(libpq_url(url))
    host = parts.get("host") or "localhost"
    port = parts.get("port") or "5432"
    return f"{host}:{port}/{parts.get('dbname') or parts.get('user') or 'postgres'}"


def unreachable(url: str, error: BaseException | None = None) -> UnreachableError:
    """The error for a database that does not answer, in one sentence."""
    reason = _reason(error)
    return UnreachableError(
        "Postgres",
        f"Postgres at {describe(url)} does not answer{f' ({reason})' if reason else ''}",
        hint=START_HINT,
    )


def _reason(error: BaseException | None) -> str:
    # libpq repeats the address in front of the server's own words, and those are what helps.
    text = str(error) if error else ""
    _, fatal, words = text.rpartition("FATAL:")
    if fatal:
        return words.strip().splitlines()[0]
    return "connection refused" if "Connection refused" in text else ""
