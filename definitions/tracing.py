"""Where a run stands in a trace: ids that everybody derives alike, and how they travel.

A run may move between processes, and is replayed; so nothing of its trace is random. The ids are
hashes of the same facts that identify its records. A trace that the client began is taken up: it
comes in a header of Temporal's, in the shape that Temporal's SDKs use for OpenTelemetry (a map of
text under ``_tracer-data``), with members of ours beside ``traceparent``.

Formats: https://www.w3.org/TR/trace-context/ (``00-{trace}-{span}-{flags}``, lowercase hex).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The header in which Temporal's SDKs hand on a trace.
TRACE_HEADER = "_tracer-data"

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_MAX_TRACESTATE = 512
#: No run is older than this year, and OTLP has no times before 1970.
_EARLIEST = 2000

#: Beside ``traceparent``, which names the span to hang from: the parent of the run's own span,
#: when the run began, and ``ask`` where nobody has decided yet whether the trace is sampled.
_PARENT = "steploom-parent"
_STARTED = "steploom-started"
_SAMPLED = "steploom-sampled"
_ASK = "ask"


def _digest(length: int, *parts: str | int) -> str:
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    return hashlib.sha256(f"steploom|{text}".encode("utf-8", "surrogatepass")).hexdigest()[:length]


def run_span_id(first_run_id: str) -> str:
    """The span of a run, from its first to its last moment."""
    return _digest(16, "run", first_run_id)


def step_span_id(first_run_id: str, path: str, iteration: int) -> str:
    """The span of one iteration of a step."""
    return _digest(16, "step", first_run_id, path, iteration)


@dataclass(frozen=True, slots=True)
class RunTrace:
    """A run's place in a trace.

    ``span_id`` is the run's own span, ``parent_id`` that of whoever started it (None: nobody that
    traces). ``sampled`` is None where the sampler is still to be asked. ``started`` is the first
    moment of the chain of runs, as far as it is known.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool | None = None
    started: datetime | None = None
    tracestate: str | None = None

    @classmethod
    def derived(cls, first_run_id: str, started: datetime | None = None) -> RunTrace:
        """The trace of a run that nobody who traces has started."""
        trace_id = _digest(32, "trace", first_run_id)
        return cls(trace_id, run_span_id(first_run_id), started=started)

    @classmethod
    def begun(cls, carrier: Any, first_run_id: str, started: datetime) -> RunTrace:
        """The trace of a run that was started, or continued, with this header.

        A header that is none of ours or the SDKs' is as good as no header.
        """
        started = _moment(carrier) or started
        parsed = _traceparent(carrier)
        if parsed is None:
            return cls.derived(first_run_id, started)
        trace_id, parent_id, flags = parsed
        return cls(
            trace_id,
            run_span_id(first_run_id),
            parent_id=parent_id,
            sampled=None if carrier.get(_SAMPLED) == _ASK else bool(flags & 1),
            started=started,
            tracestate=_tracestate(carrier),
        )

    @classmethod
    def received(cls, carrier: Any) -> RunTrace | None:
        """What an activity was handed by its run; None where that has handed on nothing."""
        parsed = _traceparent(carrier)
        if parsed is None or _STARTED not in carrier:
            return None
        trace_id, span_id, flags = parsed
        parent = carrier.get(_PARENT)
        return cls(
            trace_id,
            span_id,
            parent_id=parent if isinstance(parent, str) and _SPAN_ID.fullmatch(parent) else None,
            sampled=None if carrier.get(_SAMPLED) == _ASK else bool(flags & 1),
            started=_moment(carrier),
            tracestate=_tracestate(carrier),
        )

    def for_activity(self) -> dict[str, str]:
        """The header of the run's activities: they hang from the run's span."""
        carrier = {**self._carrier(self.span_id), **self._begun_at()}
        return carrier if self.parent_id is None else {**carrier, _PARENT: self.parent_id}

    def for_child(self, span_id: str) -> dict[str, str]:
        """The header of a child run, which hangs from a step's span."""
        return self._carrier(span_id)

    def for_next(self) -> dict[str, str]:
        """The header of the run that continues this one: what this one was started with."""
        begun = self._begun_at()
        return begun if self.parent_id is None else {**self._carrier(self.parent_id), **begun}

    def _carrier(self, span_id: str) -> dict[str, str]:
        flags = "00" if self.sampled is False else "01"
        carrier = {"traceparent": f"00-{self.trace_id}-{span_id}-{flags}"}
        if self.sampled is None:
            carrier[_SAMPLED] = _ASK
        if self.tracestate is not None:
            carrier["tracestate"] = self.tracestate
        return carrier

    def _begun_at(self) -> dict[str, str]:
        return {} if self.started is None else {_STARTED: self.started.isoformat()}


def _traceparent(carrier: Any) -> tuple[str, str, int] | None:
    given = carrier.get("traceparent") if isinstance(carrier, dict) else None
    match = _TRACEPARENT.fullmatch(given) if isinstance(given, str) else None
    # The standard calls ids of zeros invalid.
    if match is None or not int(match[1], 16) or not int(match[2], 16):
        return None
    return match[1], match[2], int(match[3], 16)


def _tracestate(carrier: Mapping[str, Any]) -> str | None:
    given = carrier.get("tracestate")
    return given if isinstance(given, str) and 0 < len(given) <= _MAX_TRACESTATE else None


def _moment(carrier: Any) -> datetime | None:
    given = carrier.get(_STARTED) if isinstance(carrier, dict) else None
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        return None
    if moment is None or moment.tzinfo is None or moment.year < _EARLIEST:
        return None
    return moment
