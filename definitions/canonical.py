"""The canonical form of a JSON document, and the hash that pins a run to it.

Two documents that say the same have the same bytes, whatever their key order and white space:

* UTF-8, no white space; the quote, the backslash and control characters escaped as ``json`` does
  it, all other characters as they are; object keys sorted by code point.
* An integer is all its digits, however many.
* A number with a fraction is the shortest decimal that reads back as the same double (Python's
  ``repr``); one whose value is whole is written as that integer, so ``1``, ``1.0`` and ``1e0`` are
  one number, as in JSON Schema, and ``-0.0`` is ``0``. A stored document therefore keeps its hash
  although ``jsonb`` writes ``1e16`` as ``10000000000000000``.

RFC 8785 is not used: it turns integers beyond 2**53 into doubles, which would give two different
documents one hash.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from definitions.jsontypes import Json


def _plain_numbers(value: Json) -> Json:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
        # The shortest decimal, not int(value): 1e23 as a double is 99999999999999991611392, and
        # what was written (and what jsonb keeps) is 1e23.
        return _whole(value) if value.is_integer() else value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"an object's key must be a string, not {type(key).__name__}")
        return {key: _plain_numbers(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_numbers(item) for item in value]
    return value


def _whole(value: float) -> int:
    digits, _, exponent = repr(value).partition("e")
    whole, _, fraction = digits.partition(".")
    if not exponent:
        return int(whole)
    zeros = int(exponent) - len(fraction)
    return int(whole + fraction + "0" * zeros)


def canonical_json(document: Json) -> bytes:
    """The one sequence of bytes that stands for this JSON value.

    Raises:
        ValueError: NaN, an infinity, or a lone surrogate, which JSON and UTF-8 do not have.
        TypeError: A value or a key that JSON does not have.
    """
    text = json.dumps(
        _plain_numbers(document),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return text.encode("utf-8")


def content_hash(document: Json) -> str:
    """The SHA-256 of the canonical form, 64 lower-case hexadecimal digits.

    Raises:
        ValueError: As ``canonical_json``.
        TypeError: As ``canonical_json``.
    """
    return hashlib.sha256(canonical_json(document)).hexdigest()
