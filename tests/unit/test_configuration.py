"""Configurations and the rules of operators, as values."""

from __future__ import annotations

from typing import Any

import pytest

from definitions.configuration import bare_secrets, config_problems, stored_config
from definitions.jsontypes import Json
from definitions.redaction import REDACTED, Redactor
from definitions.requirements import FieldRow, step_requirements


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ({"apiKey": "x7"}, ["/apiKey"]),
        ({"apiKey": "secret://shop"}, []),
        ({"authorization": "Bearer secret://shop"}, []),
        ({"a": [{"password": "x"}, {"Pass-Word": "y"}]}, ["/a/0/password", "/a/1/Pass-Word"]),
        ({"token": {"lifetime": 5, "secret": "x"}}, ["/token/secret"]),
        ({"token": 5, "secret": None, "cookie": True, "cvv": ""}, []),
        ({"name": "x7"}, []),
    ],
)
def test_bare_secrets_are_told_by_their_names(value: Json, pointers: list[str]) -> None:
    """A text is one; what refers to a secret is none, and neither is a number."""
    assert bare_secrets(value, Redactor()) == pointers


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"api_key": "secret://shop"}, {"api_key": "secret://shop"}),
        ({"api_key": "x7"}, {"api_key": REDACTED}),
        ({"api_key": "my secret://shop"}, {"api_key": REDACTED}),
        ({"token": {"a": "x"}}, {"token": REDACTED}),
        ({"a": [{"token": "secret://t"}, "known"]}, {"a": [{"token": "secret://t"}, REDACTED]}),
        ({"known": 1}, {REDACTED: 1}),
        (None, None),
    ],
)  # fmt: skip
def test_a_reference_stays_where_a_secret_is_redacted(value: Json, stored: Json) -> None:
    """So that the record says what a run was configured with, and a rerun can take it."""
    redactor = Redactor()
    redactor.learn(["known"])
    assert stored_config(value, redactor) == stored


@pytest.mark.parametrize("value", [[], None, 7, "x", {"a": float("nan")}, {"a": "\0"}])
def test_what_is_no_configuration(value: Any) -> None:
    """Anything but an object, and whatever the JSON gate refuses."""
    assert len(config_problems(value)) == 1
    assert config_problems({"a": [1, {"b": None}]}) == []


def test_only_what_differs_from_the_schemas_is_held_to() -> None:
    """A task's own schemas are its own to hold; what takes something back has no effect."""
    described = {"type": "string", "required": True, "default": "-", "rules": {"minLength": 1}}
    as_described = {"type": "string", "required": True, "default": "-", "rules": {"minLength": 1}}
    row = FieldRow.model_validate(
        {"step_id": "a", "io": "input", "name": "n", "described": described, **as_described}
    )
    assert step_requirements([row]) == {}
    relaxed = row.model_copy(update={"type": None, "required": False, "default": None, "rules": {}})
    assert not any(
        rules.apply({})[1]
        for step in step_requirements([relaxed]).values()
        if (rules := step.input)
    )
    changed = row.model_copy(update={"default": "?", "rules": {"maxLength": 2}})
    rules = step_requirements([changed])["a"].input
    assert rules is not None
    assert rules.apply({}) == ({"n": "?"}, [])
    assert rules.apply({"n": None, "m": 1}) == ({"n": None, "m": 1}, [])
    assert [one.pointer for one in rules.apply({"n": "long"})[1]] == ["/n"]


def test_fields_want_an_object() -> None:
    """Where one has to be there, or is held to a rule; a default alone asks for nothing."""
    base = {"step_id": "a", "io": "output", "name": "n"}
    needed = step_requirements([FieldRow.model_validate({**base, "required": True})])["a"].output
    filled = step_requirements([FieldRow.model_validate({**base, "default": 1})])["a"].output
    assert needed is not None
    assert filled is not None
    assert [one.message for one in needed.apply([1])[1]] == ["the value must be an object"]
    assert filled.apply([1]) == ([1], [])
