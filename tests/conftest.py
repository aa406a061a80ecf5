"""What every tier of tests shares: the servers, each as a plugin in a file of its own."""

from __future__ import annotations

pytest_plugins = ["tests.postgres", "tests.temporal"]
