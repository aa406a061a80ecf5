"""The tables of the record and their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.postgres.tables import metadata
from generated.column_notes import COLUMNS, TABLES
from generated.markdown import table

if TYPE_CHECKING:
    from sqlalchemy import Column


def columns() -> str:
    """Every table with its columns.

    Raises:
        KeyError: A table or a column has no note, or a note has no table or column.
    """
    described = {(name, column) for name, notes in COLUMNS.items() for column in notes}
    there = {(found.name, column.name) for found in metadata.sorted_tables for column in found.c}
    if described != there or set(TABLES) != set(metadata.tables):
        raise KeyError(f"column_notes.py differs from the schema: {sorted(described ^ there)}")
    parts = []
    for name, note in TABLES.items():
        rows = [
            (f"`{column.name}`", _type(column), COLUMNS[name][column.name])
            for column in metadata.tables[name].c
        ]
        parts += [f"### `{name}`", note, table(("column", "type", "meaning"), rows)]
    return "\n\n".join(parts)


def _type(column: Column[object]) -> str:
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 (as small as its one use)

    name = column.type.compile(dialect=postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    return name.replace("timestamp with time zone", "timestamptz") + (
        "" if column.nullable else ", not null"
    )
