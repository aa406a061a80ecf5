"""What a task can know and say about the attempt that runs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TaskContext:
    """Given to tasks that have a parameter of this type.

    ``idempotency_key`` is the same on each attempt of a step's iteration: hand it to the systems
    that you call, so that a repeated attempt does nothing twice. ``attempt`` counts from 1.
    """

    org_id: str
    execution_id: str
    workflow_id: str
    workflow_version: str
    step_id: str
    step_path: str
    iteration: int
    attempt: int
    idempotency_key: str
    _beat: Callable[..., None] = field(default=lambda *_: None, repr=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    def heartbeat(self, *details: Any) -> None:
        """Says that the task is alive. Needed only where a ``heartbeatTimeout`` is set."""
        self._beat(*details)

    @property
    def cancelled(self) -> bool:
        """Whether the step was cancelled. Long sync tasks ask, and return early."""
        return self._cancelled.is_set()
