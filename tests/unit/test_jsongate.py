"""The JSON gate: what is refused, where, and what passes unchanged."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.jsongate import MAX_DEPTH, MAX_NODES, JsonGateError, check, loads

REFUSED: list[tuple[str | bytes, str, str]] = [
    ("", "invalid_json", ""),
    ("{", "invalid_json", ""),
    ("{'a': 1}", "invalid_json", ""),
    ('{"a": 1,}', "invalid_json", ""),
    ('{"a": 01}', "invalid_json", ""),
    ('{"a": "\x01"}', "invalid_json", ""),
    ('{"a": "\\x"}', "invalid_json", ""),
    ('"never closed', "invalid_json", ""),
    ("\ufeff{}", "invalid_json", ""),
    ("{} {}", "trailing_data", ""),
    ("1 2", "trailing_data", ""),
    (b'{"a": "\xff"}', "invalid_utf8", ""),
    (b'{"a": "\xed\xa0\xbd"}', "invalid_utf8", ""),
    ('{"a": 1, "a": 1}', "duplicate_key", "/a"),
    ('{"x": [{"b": {}, "b/c": 1, "b/c": 2}]}', "duplicate_key", "/x/0/b~1c"),
    ('{"a": 1, "\\u0061": 2}', "duplicate_key", "/a"),
    ('{"a": NaN}', "not_a_number", "/a"),
    ("[0, -Infinity]", "not_a_number", "/1"),
    ("Infinity", "not_a_number", ""),
    ('{"a": 1e309}', "number_out_of_range", "/a"),
    ('{"a": 1e131071}', "number_out_of_range", "/a"),
    ('{"a": 1e-309}', "number_out_of_range", "/a"),
    ('{"a": 0e99999999999999999999}', "number_out_of_range", "/a"),
    ('{"a": 1.8e308}', "number_out_of_range", "/a"),
    ('{"a": 5e-324}', "number_out_of_range", "/a"),
    ('{"a": 0.' + "0" * 400 + "1}", "number_out_of_range", "/a"),
    ("[" + "9" * 310 + "]", "number_out_of_range", "/0"),
    ("[" + "9" * 5000 + "]", "number_out_of_range", "/0"),
    ('{"a": "x\\u0000"}', "null_character", "/a"),
    ('{"a\\u0000": 1}', "null_character", ""),
    ('{"a": "\\ud83d"}', "lone_surrogate", "/a"),
    ('{"a": "\\ude00\\ud83d"}', "lone_surrogate", "/a"),
    ('"\ud800"', "lone_surrogate", ""),
    ('{"\\ud800": 1, "\\ud800": 2}', "lone_surrogate", ""),
    ("[" * 65 + "]" * 65, "too_deep", ""),
    ('{"a":' * 65 + "1" + "}" * 65, "too_deep", ""),
    ("[" * 100_000, "too_deep", ""),
    ('{"a":[' * 100_000, "too_deep", ""),
    ("[" + "0," * MAX_NODES + "0]", "too_many_values", ""),
    ("[" + "[]," * (MAX_NODES - 1) + "[]]", "too_many_values", ""),
]


@pytest.mark.parametrize(("text", "code", "where"), REFUSED)
def test_refused_text(text: str | bytes, code: str, where: str) -> None:
    """What cannot be carried on is refused with its code and place."""
    with pytest.raises(JsonGateError) as caught:
        loads(text)
    assert (caught.value.code, caught.value.pointer) == (code, where)
    assert caught.value.message


@pytest.mark.parametrize(
    ("value", "code", "where"),
    [
        ({"a": (1,)}, "not_json", "/a"),
        ({"a": {1: 2}}, "not_json", "/a"),
        ([{1}], "not_json", "/0"),
        ([b"x"], "not_json", "/0"),
        ([math.nan], "not_a_number", "/0"),
        ([-math.inf], "not_a_number", "/0"),
        ([10**400], "number_out_of_range", "/0"),
        ([5e-324], "number_out_of_range", "/0"),
        (["\0"], "null_character", "/0"),
        (["\ud800"], "lone_surrogate", "/0"),
        ([0] * MAX_NODES, "too_many_values", ""),
    ],
)
def test_refused_value(value: Any, code: str, where: str) -> None:
    """The same rules hold for values that a program hands over."""
    with pytest.raises(JsonGateError) as caught:
        check(value)
    assert (caught.value.code, caught.value.pointer) == (code, where)


def test_a_cycle_is_too_deep() -> None:
    """A value that contains itself is refused, not walked for ever."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(JsonGateError) as caught:
        check({"a": loop})
    assert (caught.value.code, caught.value.pointer) == ("too_deep", "/a" + "/0" * 63)


def test_a_value_that_repeats_itself_is_counted() -> None:
    """A small value in memory that is huge as JSON is refused."""
    value: Any = {}
    for _ in range(30):
        value = [value, value]
    with pytest.raises(JsonGateError, match="more than 100000"):
        check(value)


def test_never_a_recursion_error_near_the_end_of_the_stack() -> None:
    """A caller that has used up its stack gets the gate's error or the value, nothing else."""

    def deep(left: int) -> Any:
        if left:
            return deep(left - 1)
        try:
            return loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)
        except JsonGateError as error:
            return error.code

    frames = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frames, frame = frames + 1, frame.f_back
    assert deep(sys.getrecursionlimit() - frames - 60) is not None


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740993",
        "-9007199254740993",
        "1e308",
        "1e-308",
        "1.7976931348623157e308",
        "0.0",
        "-0.0",
        "0e308",
        '"\\ud83d\\ude00"',
        '"[[[[{{{{,,,,"',
        '"' + '\\"' * 1000 + '"',
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        "[" + "0," * (MAX_NODES - 2) + "0]",
        " \t\r\n null \n",
    ],
)
def test_passes(text: str) -> None:
    """What is JSON and within the bounds comes through as Python's own parser reads it."""
    assert loads(text) == json.loads(text)


def test_whole_numbers_keep_their_value() -> None:
    """2^53 + 1, which a double cannot hold, is exact, and so is what is far beyond 64 bits."""
    assert loads("[9007199254740993, 123456789012345678901234567890]") == [
        2**53 + 1,
        123456789012345678901234567890,
    ]


def test_size_is_counted_in_bytes() -> None:
    """The limit is one of bytes, for text as for bytes."""
    assert loads('"é"', max_bytes=4) == "é"
    for text in ('"é"', '"é"'.encode()):
        with pytest.raises(JsonGateError) as caught:
            loads(text, max_bytes=3)
        assert caught.value.code == "text_too_long"


def test_a_hostile_text_costs_no_more_than_its_length() -> None:
    """Escaped quotes without an end do not make the scan start over and over (a quadratic trap)."""
    with pytest.raises(JsonGateError):
        loads('\\"' * 2_000_000)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
    | st.text()
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(documents)
def test_text_and_value_agree(value: Any) -> None:
    """``check`` passes exactly what ``loads`` passes of the same value as text, unchanged."""
    try:
        check(value)
    except JsonGateError as error:
        with pytest.raises(JsonGateError) as caught:
            loads(json.dumps(value))
        assert (caught.value.code, caught.value.pointer) == (error.code, error.pointer)  # noqa: PT017 (both outcomes are looked at)
    else:
        assert loads(json.dumps(value)) == value
        assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.text(alphabet='{}[],:"\\0123456789eE+-. nultrefasINy\ud800\0', max_size=60))
def test_nothing_but_the_gates_error(text: str) -> None:
    """Any text at all either is a value or raises ``JsonGateError``."""
    try:
        check(loads(text))
    except JsonGateError:
        return


@given(st.binary(max_size=60))
def test_nothing_but_the_gates_error_for_bytes(data: bytes) -> None:
    """Any bytes at all either are a value or raise ``JsonGateError``."""
    try:
        check(loads(data))
    except JsonGateError:
        return
