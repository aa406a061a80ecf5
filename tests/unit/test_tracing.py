"""A run's place in a trace, as it travels through Temporal's headers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.tracing import RunTrace, run_span_id, step_span_id

_FIRST = "0190d8a4-run"
_BEGAN = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
_LATER = datetime(2026, 3, 1, 13, tzinfo=UTC)
_CLIENT = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
}


def test_ids_are_the_same_everywhere() -> None:
    """They stand in collectors, beside those of workers of other versions: they never change."""
    assert RunTrace.derived(_FIRST).trace_id == "40bb5f4d5a1ea5162324436ab044a616"
    assert run_span_id(_FIRST) == "9b42c9f6f77f592e"
    assert step_span_id(_FIRST, "a/b", 1) == "792e5ca22d4a586c"
    assert step_span_id(_FIRST, "a/b", 11) != step_span_id(_FIRST, "a/b1", 1)


@pytest.mark.parametrize("carrier", [None, _CLIENT])
def test_a_continued_run_stands_where_the_first_one_stood(carrier: Any) -> None:
    """Nothing of its trace changes, not even when it began."""
    first = RunTrace.begun(carrier, _FIRST, _BEGAN)
    assert RunTrace.begun(first.for_next(), _FIRST, _LATER) == first


@pytest.mark.parametrize("carrier", [None, _CLIENT])
def test_an_activity_knows_what_its_run_knows(carrier: Any) -> None:
    """What it is handed is the run's whole place in the trace."""
    run = RunTrace.begun(carrier, _FIRST, _BEGAN)
    assert RunTrace.received(run.for_activity()) == run


def test_a_run_hangs_from_its_client() -> None:
    """The client's trace goes on, its decision on sampling and its tracestate with it."""
    run = RunTrace.begun(_CLIENT, _FIRST, _BEGAN)
    assert (run.trace_id, run.parent_id) == (_CLIENT["traceparent"][3:35], "b7ad6b7169203331")
    assert (run.sampled, run.tracestate) == (True, "vendor=1")
    unsampled = {"traceparent": _CLIENT["traceparent"][:-1] + "0"}
    handed_on = RunTrace.begun(unsampled, _FIRST, _BEGAN).for_activity()
    assert handed_on["traceparent"].endswith("-00")


def test_a_child_hangs_from_a_step_and_leaves_the_sampling_open() -> None:
    """Where nobody has decided yet, the child's worker asks its sampler as well."""
    parent = RunTrace.derived(_FIRST, _BEGAN)
    step = step_span_id(_FIRST, "call", 1)
    child = RunTrace.begun(parent.for_child(step), "another", _LATER)
    assert (child.trace_id, child.parent_id) == (parent.trace_id, step)
    assert (child.span_id, child.sampled) == (run_span_id("another"), None)
    assert child.started == _LATER


@pytest.mark.parametrize(
    "carrier",
    [
        None, 1, "x", [], {}, {"traceparent": 3}, {"traceparent": ["00-1-2-3"]},
        {"traceparent": "00-" + "0" * 32 + "-b7ad6b7169203331-01"},
        {"traceparent": _CLIENT["traceparent"].upper()},
        {"steploom-started": "yesterday"}, {"steploom-started": "2026-03-01T12:00:00"},
        {"steploom-started": "0001-01-01T00:00:00+00:00"},
    ],
)  # fmt: skip
def test_what_is_no_trace_is_as_good_as_nothing(carrier: Any) -> None:
    """Anybody can send a header."""
    assert RunTrace.begun(carrier, _FIRST, _BEGAN) == RunTrace.derived(_FIRST, _BEGAN)
    assert RunTrace.received(carrier) is None


_NAMES = st.sampled_from(
    ["traceparent", "tracestate", "steploom-parent", "steploom-started", "steploom-sampled"]
)
_TEXTS = st.one_of(
    st.text("0123456789abcdef-:T+Z", max_size=40),
    st.datetimes(timezones=st.just(UTC)).map(str),
    st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    st.integers(),
)


@given(st.dictionaries(_NAMES, _TEXTS))
def test_any_header_makes_a_trace_that_can_be_handed_on(carrier: dict[str, Any]) -> None:
    """Whatever is sent, what goes on is well made."""
    run = RunTrace.begun(carrier, _FIRST, _BEGAN)
    assert RunTrace.received(run.for_activity()) == run
    assert RunTrace.begun(run.for_next(), _FIRST, _LATER) == run
    RunTrace.received(carrier)
