"""What a rehearsal left behind, in a form in which two of them can be compared."""

from __future__ import annotations

from worker.rehearsal.trace import trace

__all__ = ["trace"]
