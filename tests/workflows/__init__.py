"""Definitions run on a real Temporal, their record read back from a real Postgres."""
