"""What a schedule does when it is time and the execution before still goes on.

On its own, so that the command line can name the choices without Temporal's library.
"""

from __future__ import annotations

from enum import StrEnum


class Overlap(StrEnum):
    """Temporal's policies: start none, keep one or all for later, end the other, or run both."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    TERMINATE_OTHER = "terminate_other"
    ALLOW_ALL = "allow_all"
