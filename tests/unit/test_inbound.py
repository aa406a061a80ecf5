"""Events from outside, read: two shapes, one form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.deadletters import Message
from definitions.identity import inbound_event_id
from definitions.inbound import EventRefusedError, parse_event, read_event, read_message

ENVELOPE: dict[str, Any] = {
    "event_id": "123e4567-e89b-12d3-a456-426614174000",
    "event_type": "workflow.completed",
    "timestamp": "2025-01-27T10:00:00",
    "source": "airflow",
    "workflow_id": "example_dag",
    "workflow_run_id": "run_123",
    "payload": {"data": {"status": "success", "correlation_id": "c-7"}},
    "metadata": {"environment": "dev", "version": "1.0"},
}
CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/mycontext",
    "type": "com.example.someevent",
    "subject": "larger-context",
    "time": "2018-04-05T17:31:00+02:00",
    "datacontenttype": "application/json",
    "correlationid": "c-8",
    "data": {"appinfoA": "abc"},
}


def test_the_envelope() -> None:
    """A time without a zone is in UTC; the data of the payload is the data."""
    assert parse_event(ENVELOPE).scope() == {
        "id": "123e4567-e89b-12d3-a456-426614174000",
        "type": "workflow.completed",
        "source": "airflow",
        "time": "2025-01-27T10:00:00Z",
        "subject": None,
        "workflow_id": "example_dag",
        "workflow_run_id": "run_123",
        "correlation_id": "c-7",
        "data": {"status": "success", "correlation_id": "c-7"},
        "metadata": {"environment": "dev", "version": "1.0"},
    }


def test_a_cloud_event() -> None:
    """An id that is no UUID becomes one; other attributes are metadata."""
    event = parse_event(CLOUD)
    assert (event.id, event.given_id) == (
        inbound_event_id("/mycontext", "A234-1234-1234"),
        "A234-1234-1234",
    )
    assert event.time == datetime(2018, 4, 5, 15, 31, tzinfo=UTC)
    assert (event.type, event.subject) == ("com.example.someevent", "larger-context")
    assert event.metadata == {"datacontenttype": "application/json", "correlationid": "c-8"}
    assert (event.correlation_id, event.data) == ("c-8", {"appinfoA": "abc"})


def test_ids() -> None:
    """A UUID stays what it is; the same id of another source is another event."""
    one = parse_event({**CLOUD, "id": "123E4567-E89B-12D3-A456-426614174000"})
    assert one.id == UUID("123e4567-e89b-12d3-a456-426614174000")
    first, second = (parse_event({**CLOUD, "source": name}).id for name in ("a", "b"))
    assert first != second
    assert parse_event({**ENVELOPE, "event_id": "run 7"}).id == inbound_event_id("airflow", "run 7")


def test_unknown_members_are_ignored() -> None:
    """Of the envelope, at every level."""
    more = {**ENVELOPE, "trace": 1, "metadata": {**ENVELOPE["metadata"], "region": "eu"}}
    assert parse_event(more) == parse_event(ENVELOPE)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"event_type": "workflow.vanished"}, "event_type"),
        ({"source": "jenkins"}, "source"),
        ({"metadata": {"environment": "moon"}}, "metadata.environment"),
        ({"payload": {"data": []}}, "payload.data"),
        ({"payload": {}}, "payload.data"),
        ({"workflow_id": None}, "workflow_id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"event_id": 7}, "event_id"),
        ({"event_id": ""}, "event_id"),
    ],
)
def test_a_wrong_envelope(changes: dict[str, Any], where: str) -> None:
    """The field is named."""
    with pytest.raises(EventRefusedError, match=f"^{where}: ") as caught:
        parse_event({**ENVELOPE, **changes})
    assert caught.value.code == "invalid_event"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"source": "jenkins"},
            "source: must be 'airflow', 'langgraph', 'fastapi' or 'steploom', not 'jenkins'",
        ),
        (
            {"event_type": "order.paid"},
            "'workflow.triggered', 'workflow.completed' or 'workflow.failed', not 'order.paid'",
        ),
        (
            {"metadata": {"environment": "moon"}},
            "metadata.environment: must match ^(dev|staging|prod)$, not 'moon'",
        ),
        ({"payload": {"data": []}}, "payload.data: must be an object, not a list"),
        ({"payload": {}}, "payload.data: is missing"),
        ({"workflow_id": None}, "workflow_id: must be text, not null"),
        ({"timestamp": "yesterday"}, "timestamp: must be a time in ISO 8601, not 'yesterday'"),
        ({"workflow_id": 7, "source": "x" * 200}, f"not {'x' * 80!r}…; workflow_id: must be text"),
    ],
)
def test_what_is_wrong_in_an_envelope(changes: dict[str, Any], told: str) -> None:
    """The field, what is allowed and what was found, in words of our own."""
    with pytest.raises(EventRefusedError) as caught:
        parse_event({**ENVELOPE, **changes})
    assert told in caught.value.message
    assert "Input should" not in caught.value.message


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": 1}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": 5}, "id"),
        ({"source": None}, "source"),
        ({"source": "s" * 3000}, "source"),
        ({"type": None}, "type"),
        ({"subject": ""}, "subject"),
        ({"time": "noon"}, "time"),
        ({"time": 5}, "time"),
        ({"datacontenttype": "application/xml"}, "datacontenttype"),
        ({"datacontenttype": 5}, "datacontenttype"),
        ({"data_base64": "eA=="}, "data_base64"),
    ],
)
def test_a_wrong_cloud_event(changes: dict[str, Any], where: str) -> None:
    """The attribute is named."""
    with pytest.raises(EventRefusedError, match=f"^{where}: "):
        parse_event({**CLOUD, **changes})


@pytest.mark.parametrize("kind", ["a..b", ".", "a.b.c.d.e.f.g.h.i", "t" * 256])
def test_a_type_that_no_pattern_can_match(kind: str) -> None:
    """Refused, so that nobody waits for it in vain."""
    with pytest.raises(EventRefusedError) as caught:
        parse_event({**CLOUD, "type": kind})
    assert caught.value.code == "unusable_type"


def test_the_binary_mode() -> None:
    """Attributes in headers, whatever else stands there, and the data as the body."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "1",
        "ce_source": "/shop",
        "ce_type": "order.paid",
        "ce_correlationid": "c",
        "content-type": "application/vnd.shop+json",
        "other": "x",
    }
    event = read_message(Message(b'{"a": 1}', headers))
    assert (event.type, event.data, event.correlation_id) == ("order.paid", {"a": 1}, "c")
    assert read_message(Message(b"", headers)).data is None
    for body, changes, code in (
        (b"{", {}, "invalid_json"),
        (b"{}", {"content-type": "text/plain"}, "invalid_event"),
        (b"{}", {"ce_type": ""}, "invalid_event"),
    ):
        with pytest.raises(EventRefusedError) as caught:
            read_message(Message(body, {**headers, **changes}))
        assert caught.value.code == code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(
    st.sampled_from([ENVELOPE, CLOUD]),
    st.dictionaries(st.sampled_from([*ENVELOPE, *CLOUD]), JSON, max_size=3),
)
def test_anything_is_an_event_or_refused(base: dict[str, Any], changes: dict[str, Any]) -> None:
    """No other exception, whatever stands in it."""
    try:
        event = read_event(json.dumps({**base, **changes}))
    except EventRefusedError:
        return
    json.dumps(event.scope())
