"""Definitions, as short to write as a test wants them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4


def step(step_id: str, task_id: str = "core.noop", **fields: Any) -> dict[str, Any]:
    """A step. Fields are the document's: ``retryPolicy={…}``."""
    return {"stepId": step_id, "taskId": task_id, **fields}


def branch(branch_id: str, *steps: dict[str, Any]) -> dict[str, Any]:
    """A branch of ``parallelBranches``."""
    return {"branchId": branch_id, "steps": list(steps)}


def definition(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A document with an id that no other test has."""
    return {
        "workflowId": f"test-{uuid4().hex[:12]}",
        "name": "A test",
        "version": "1.0.0",
        "steps": list(steps),
        **fields,
    }


def retry(attempts: int, delay: str = "PT0.05S", **fields: Any) -> dict[str, Any]:
    """A ``retryPolicy`` that does not keep a test waiting."""
    return {"maxAttempts": attempts, "delay": delay, "strategy": "fixed", **fields}
