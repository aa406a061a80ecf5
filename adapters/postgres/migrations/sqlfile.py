"""Runs the SQL files that ``psql`` can run as well: those of the migrations that come as SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import context, op

if TYPE_CHECKING:
    from collections.abc import Iterator

SQL = Path(__file__).parents[1] / "sql"


def run_file(name: str) -> None:
    """Runs a file of ``adapters/postgres/sql`` in the migration's own transaction."""
    text = "".join(_lines(name))
    if context.is_offline_mode():
        op.execute(text.replace(":", r"\:"))
        return
    # Not through SQLAlchemy, which would look for parameters in it.
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(text)


def _lines(name: str) -> Iterator[str]:
    """The lines of a file, with those that it includes, without what is meant for psql alone."""
    with (SQL / name).open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(r"\ir "):
                yield from _lines(line.split()[1])
            elif not line.startswith("\\") and line not in {"BEGIN;\n", "COMMIT;\n"}:
                yield line
