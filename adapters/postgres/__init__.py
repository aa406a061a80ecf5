"""Postgres: the definitions, the instances, the step records and the audit events."""
