"""When a failed attempt is made again: the policies as Temporal's activities keep them.

Used where Temporal does not retry for us: for the tasks that the interpreter does by itself, for
child runs, and for the mocked tasks of a rehearsal.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from definitions.durations import parse_duration
from definitions.errors import NEVER_RETRIED

if TYPE_CHECKING:
    from datetime import datetime

    from definitions.document import RetryPolicy
    from worker.interpreter.host import StepError


def backoff(retry: RetryPolicy, failed: int) -> timedelta:
    """How long is waited after the ``failed``-th attempt (from 1)."""
    delay = parse_duration(retry.delay)
    if retry.strategy == "fixed":
        return delay
    cap = parse_duration(retry.max_delay) if retry.max_delay else timedelta(days=36_500)
    try:
        return min(delay * retry.backoff_rate ** (failed - 1), cap)
    except OverflowError:
        return cap


def next_attempt_at(
    retry: RetryPolicy, error: StepError, failed: int, *, now: datetime, deadline: datetime | None
) -> datetime | None:
    """When the attempt after the ``failed``-th begins, or None when there is none.

    One that could not begin before the deadline is not waited for.
    """
    kind = error.info.type
    if not error.retryable or kind in NEVER_RETRIED or kind in retry.non_retryable_errors:
        return None
    if failed >= retry.max_attempts:
        return None
    again = now + backoff(retry, failed)
    return None if deadline is not None and again >= deadline else again
