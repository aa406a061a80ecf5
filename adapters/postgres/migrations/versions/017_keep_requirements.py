"""What an operator says of the fields of a node is told apart from what its task's schemas say."""

from __future__ import annotations

from adapters.postgres.migrations.sqlfile import run_file

revision = "017_keep_requirements"
down_revision = "016_move_records"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keeps beside each field what the schemas say; until now that was all there was."""
    run_file("keep_requirements.sql")


def downgrade() -> None:
    """Forgets it."""
    run_file("keep_requirements_back.sql")
