"""The SQL files that come with the product, read as ``psql`` reads them.

``psql`` can apply all of them; what the migrations run is the same text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import context, op

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

SQL = Path(__file__).parents[1] / "sql"


def run_file(name: str) -> None:
    """Runs a file in the migration's own transaction; offline, prints it."""
    if context.is_offline_mode():
        op.execute(printable_file(name))
    else:
        execute_file(op.get_bind(), name)


def execute_file(bind: sa.Connection, name: str) -> None:
    """Runs a file in a connection's transaction."""
    # Not through SQLAlchemy, which would look for parameters in it.
    connection: Any = bind.connection.driver_connection
    connection.execute(read_file(name))


def printable_file(name: str) -> str:
    """A file for a migration that is printed: SQLAlchemy would take its colons for parameters."""
    return read_file(name).replace(":", r"\:")


def read_file(name: str) -> str:
    """A file with those that it includes, without what is meant for ``psql`` alone."""
    return "".join(_lines(name))


def _lines(name: str) -> Iterator[str]:
    with (SQL / name).open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(r"\ir "):
                yield from _lines(line.split()[1])
            elif not line.startswith("\\") and line not in {"BEGIN;\n", "COMMIT;\n"}:
                yield line
