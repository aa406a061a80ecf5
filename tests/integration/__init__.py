"""Adapters against the real thing: a Postgres server, one fresh database for each test."""
