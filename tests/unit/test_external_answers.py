"""What workers of other languages answer, made into outputs and errors of steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.outputs import MAX_VALUE_BYTES
from worker.interpreter.external import (
    MAX_DETAILS_BYTES,
    MAX_MESSAGE,
    external_error,
    external_output,
)
from worker.interpreter.host import StepError


@pytest.mark.parametrize("encoding", ["json/plain", "json/protobuf"])
def test_json_is_the_output(encoding: str) -> None:
    """As it is, whole numbers exact."""
    assert external_output(encoding, b'{"n": 9007199254740993, "t": "\xc3\xa9"}') == {
        "n": 9007199254740993,
        "t": "é",
    }


def test_nothing_is_null() -> None:
    """An activity without a result."""
    assert external_output("binary/null", b"") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'{"a\u0000": "b\u0000c"}', {"a\ufffd": "b\ufffdc"}),
        (rb'["\ud800"]', ["\ufffd"]),
    ],
)
def test_what_postgres_cannot_keep_is_replaced(text: bytes, value: Any) -> None:
    """It is JSON, so it is no fault of the worker's."""
    assert external_output("json/plain", text) == value


@pytest.mark.parametrize(
    ("encoding", "data", "kind", "code"),
    [
        ("json/plain", b"{", "OutputError", "invalid_json"),
        ("json/plain", b"", "OutputError", "invalid_json"),
        ("json/plain", b"[NaN]", "OutputError", "not_a_number"),
        ("json/plain", b"[1e999]", "OutputError", "number_out_of_range"),
        ("json/plain", b'{"a": 1, "a": 2}', "OutputError", "duplicate_key"),
        ("json/plain", b"[" * 100 + b"]" * 100, "OutputError", "too_deep"),
        ("json/plain", b"\xff", "OutputError", "invalid_utf8"),
        ("binary/plain", b"text", "OutputError", None),
        ("binary/protobuf", b"\x00", "OutputError", None),
        ("", b"", "OutputError", None),
        ("json/plain", b'"' + b"x" * MAX_VALUE_BYTES + b'"', "PayloadTooLarge", None),
    ],
)
def test_what_cannot_be_used(encoding: str, data: bytes, kind: str, code: str | None) -> None:
    """An error of the step that no policy retries."""
    with pytest.raises(StepError) as caught:
        external_output(encoding, data)
    assert (caught.value.info.type, caught.value.info.code) == (kind, code)
    assert not caught.value.retryable


@given(st.sampled_from(["json/plain", "json/protobuf", "binary/plain"]), st.binary(max_size=40))
def test_no_bytes_raise_anything_else(encoding: str, data: bytes) -> None:
    """A step's error is all that can come of them, and what comes through is JSON."""
    try:
        value = external_output(encoding, data)
    except StepError:
        return
    json.dumps(value, allow_nan=False)


@pytest.mark.parametrize(
    ("details", "code", "kept"),
    [
        (None, None, None),
        ({"code": "51", "limit": 3}, "51", {"code": "51", "limit": 3}),
        ({"code": 51}, "51", {"code": 51}),
        ({"code": None}, None, {"code": None}),
        ({"code": True}, None, {"code": True}),
        ({"code": ["51"]}, None, {"code": ["51"]}),
        ("text\0", None, "text\ufffd"),
        ([float("nan")], None, ["NaN"]),
        (b"\xff\xff", None, "<2 bytes>"),
    ],
)
def test_the_first_detail(details: Any, code: str | None, kept: Any) -> None:
    """It is the error's details; a code in it is the error's."""
    info = external_error("Odd", "no", details, 2)
    assert (info.type, info.message, info.attempts) == ("Odd", "no", 2)
    assert (info.code, info.details) == (code, kept)


def test_an_error_has_bounds() -> None:
    """It is kept in several places of a run."""
    info = external_error(None, "m\0" * MAX_MESSAGE, "x" * MAX_DETAILS_BYTES, None)
    assert info.type == "ApplicationError"
    assert len(info.message) == MAX_MESSAGE
    assert "\0" not in info.message
    assert info.details == f"<details of {MAX_DETAILS_BYTES + 2} bytes>"
