"""Where there is no telemetry, and how a task finds what watches its attempt."""

from __future__ import annotations

from contextlib import nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from definitions.calls import TaskEnvelope
    from definitions.ports import WatchedAttempt, WatchedRequest
    from definitions.records import ErrorInfo


class _Unwatched:
    """Nobody is told anything."""

    headers: Mapping[str, str] = {}

    def answered(self, status: int) -> None:
        """Nobody asks."""

    def failed(self, error: ErrorInfo) -> None:
        """Nobody asks."""

    def request(self, method: str, url: str) -> AbstractContextManager[WatchedRequest]:
        """Nobody asks."""
        return nullcontext(self)


_UNWATCHED = _Unwatched()
_NOTHING = nullcontext(_UNWATCHED)

#: The attempt that runs here. Tasks of ours tell it of the requests that they make.
WATCHED: ContextVar[WatchedAttempt] = ContextVar("steploom_watched", default=_UNWATCHED)
#: Takes out of a text the secrets that were put into this attempt's input.
HIDE: ContextVar[Callable[[str], str]] = ContextVar("steploom_hide", default=str)


class NoTelemetry:
    """The ``definitions.ports.Telemetry`` of a worker without one."""

    def attempt(
        self,
        envelope: TaskEnvelope,
        number: int,
    ) -> AbstractContextManager[WatchedAttempt]:
        """Nobody watches."""
        return _NOTHING
