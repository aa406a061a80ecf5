"""A worker with a payload store in files, and what is expected of both."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from definitions.identity import org_id
from definitions.outputs import json_text
from definitions.references import PayloadReference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.workflows.stack import Handle, Stack

TASKS = ["tests.workflows.tasks", "tests.workflows.big_tasks"]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers of this file keep big values."""
    return tmp_path_factory.mktemp("payloads")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def big(stack: Stack, folder: Path) -> AsyncIterator[Stack]:
    """A worker with a payload store in files."""
    async with stack.worker(tasks=TASKS, payloads=str(folder)) as served:
        yield served


def reference(value: Any) -> dict[str, Any]:
    """What stands for a value."""
    text = json_text(value).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    return PayloadReference(sha256=sha256, size=len(text)).to_json()


def file_of(folder: Path, value: Any, org: str = "default") -> Path:
    """Where a value is stored."""
    sha256 = hashlib.sha256(json_text(value).encode()).hexdigest()
    return folder / str(org_id(org)) / sha256[:2] / f"{sha256}.json"


async def history_of(stack: Stack, handle: Handle) -> str:
    """The whole history as JSON text."""
    return (await handle.fetch_history()).to_json()
