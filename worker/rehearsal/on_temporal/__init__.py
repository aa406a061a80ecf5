"""Rehearses on Temporal's test server: the production workflow on a clock that skips ahead."""
