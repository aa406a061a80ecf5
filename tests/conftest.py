"""What every tier of tests shares: the servers, each as a plugin in a file of its own."""

from __future__ import annotations

import os
import sys

import pytest

pytest_plugins = ["tests.kafka", "tests.postgres", "tests.temporal"]

_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keeps the status for the very end."""
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leaves without finalizing the interpreter (docs/adr/0006-leaving-the-process.md)."""
    status = config.stash.get(_STATUS, None)
    if status is None or "temporalio.bridge.temporal_sdk_bridge" not in sys.modules:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
