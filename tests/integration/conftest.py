"""What the integration tests share."""

from __future__ import annotations

from tests.postgres import (
    database,
    database_template,
    database_url,
    empty_database_url,
    postgres_server,
)

__all__ = [
    "database",
    "database_template",
    "database_url",
    "empty_database_url",
    "postgres_server",
]
