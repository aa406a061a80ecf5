"""The execution tables are the record: they take in what the tables of steps and actions held."""

from __future__ import annotations

from adapters.postgres.migrations.sqlfile import run_file

revision = "016_move_records"
down_revision = "015_secure_tenants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Moves every row, and drops the tables that held them."""
    run_file("move_records.sql")


def downgrade() -> None:
    """Makes those tables again, and moves back what they have a place for."""
    run_file("move_records_back.sql")
