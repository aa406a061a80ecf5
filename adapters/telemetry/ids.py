"""Ids for spans that others have named before they were made."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Trace and span, as the numbers that they are.
_NEXT: ContextVar[tuple[int, int] | None] = ContextVar("steploom_next_span", default=None)


class DerivedIds(RandomIdGenerator):
    """Random ids, but for a span that is made inside ``given``."""

    @contextmanager
    def given(self, trace_id: str, span_id: str) -> Iterator[None]:
        """The span that is made inside has these ids (the trace's only where it has no parent)."""
        token = _NEXT.set((int(trace_id, 16), int(span_id, 16)))
        try:
            yield
        finally:
            _NEXT.reset(token)

    @override
    def generate_trace_id(self) -> int:
        given = _NEXT.get()
        return super().generate_trace_id() if given is None else given[0]

    @override
    def generate_span_id(self) -> int:
        given = _NEXT.get()
        return super().generate_span_id() if given is None else given[1]
