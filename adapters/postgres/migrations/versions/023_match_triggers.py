"""Triggers are looked up by the patterns of an event's type; what they refuse is kept."""

from __future__ import annotations

from adapters.postgres.migrations.sqlfile import run_file

revision = "023_match_triggers"
down_revision = "022_publish_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the function and the table of dead letters."""
    run_file("match_triggers.sql")


def downgrade() -> None:
    """Drops both."""
    run_file("drop_match_triggers.sql")
