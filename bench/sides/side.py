"""What every side offers to the process that it runs in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import SecretStr

from bench.chain import Mode
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """Where the servers are: Temporal's ``host:port`` and a side's own database."""

    temporal: str
    database: str

    def settings(self) -> Settings:
        """The settings of a worker there: the defaults, whatever the environment says."""
        given = {name: field.get_default() for name, field in Settings.model_fields.items()}
        given |= {
            "temporal_address": self.temporal,
            "database_url": SecretStr(self.database),
            "tasks": ["bench.tasks"],
            "catalogue": [],
            "http_allow": [],
            "redact_keys": [],
        }
        return Settings(**given)


class Run(NamedTuple):
    """A run that has ended."""

    result: Any
    execution: str


async def _no_events(_: str) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Side:
    """``run`` starts one run with a number, and waits for its end. ``events``: of its history."""

    run: Callable[[Mode, int], Awaitable[Run]]
    events: Callable[[str], Awaitable[int]] = _no_events
