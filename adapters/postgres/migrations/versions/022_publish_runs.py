"""The outbox on its way out: the order within a run, what was refused, and who has how much."""

from __future__ import annotations

from adapters.postgres.migrations.sqlfile import run_file

revision = "022_publish_runs"
down_revision = "021_create_provider_workflows"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns, indexes and functions."""
    run_file("publish_runs.sql")


def downgrade() -> None:
    """Takes them away. Events of runs themselves stay, as they were written."""
    run_file("publish_runs_back.sql")
