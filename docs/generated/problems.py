"""The codes of problems, each with its meaning, its smallest example and what is said of that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

from generated.markdown import pretty

from definitions.inputs import check_input
from definitions.jsongate import JsonGateError, loads
from definitions.problem_codes import CODES, DocumentCode, GateCode, ValueCode
from definitions.problem_examples import Repeated, document_of
from definitions.tasks import TaskSpec
from definitions.validation.api import validate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from definitions.jsontypes import Json
    from definitions.problem_codes import CodeInfo
    from definitions.problems import Problem

_LONGEST_UNIT = 12


def gate_codes() -> str:
    """Those of the JSON gate."""
    return _entries(get_args(GateCode))


def document_codes() -> str:
    """Those of a document."""
    return _entries(get_args(DocumentCode))


def value_codes() -> str:
    """Those of a value that does not fit its schema."""
    return _entries(get_args(ValueCode))


def _entries(codes: Iterable[str]) -> str:
    return "\n\n".join(_entry(CODES[code]) for code in codes)


def _entry(info: CodeInfo) -> str:
    warning = " A warning." if info.severity == "warning" else ""
    said = _said(info)
    place = f"`{said.pointer}`: " if said.pointer else ""
    end = "" if said.message.endswith("?") else "."
    told = f"{place}*{_escaped(said.message)}{end}*"
    return f"### `{info.code}`\n{info.meaning}{warning} {told}\n{_example(info)}"


def _example(info: CodeInfo) -> str:
    if info.text is not None:
        return f"```text\n{_text(info.text)}\n```"
    if info.value is not None:
        schema, value = (json.dumps(one, ensure_ascii=False) for one in info.value)
        return f"```text\nschema: {schema}\nvalue:  {value}\n```"
    members = {key: _shown(value) for key, value in (info.document or {}).items()}
    left_out = [key for key, value in members.items() if value is ...]
    if left_out:
        return f"```text\nwithout {', '.join(left_out)}\n```"
    return f"```json\n{pretty(members)}\n```"


def _shown(value: Json) -> Json:
    return _text(value) if isinstance(value, Repeated) else value


def _text(text: str | bytes | Repeated) -> str:
    if isinstance(text, Repeated):
        return f"{text.head}{text.unit * 3}… ({text.times:,} times {text.unit!r}){text.tail}"
    if isinstance(text, bytes):
        return text.decode("ascii", "backslashreplace")
    return text


def _escaped(message: str) -> str:
    """A sentence in which Markdown looks for nothing."""
    for character in "\\`*_[]<>{}|#":
        message = message.replace(character, f"\\{character}")
    return message


def _said(info: CodeInfo) -> Problem:
    """The problem that the example has."""
    found: list[Problem]
    if info.text is not None:
        found = [_of_gate(info.text.text if isinstance(info.text, Repeated) else info.text)]
    elif info.value is not None:
        found = check_input(*info.value)
    else:
        catalogue = None
        if info.catalogue is not None:
            catalogue = {name: TaskSpec(task_id=name) for name in info.catalogue}
        found = validate(document_of(info.document or {}), catalogue=catalogue).problems
    return next(problem for problem in found if problem.code == info.code)


def _of_gate(text: str | bytes) -> Problem:
    from definitions.problems import Problem  # noqa: PLC0415 (its one use at run time)

    try:
        loads(text)
    except JsonGateError as error:
        return Problem(pointer=error.pointer, code=error.code, message=error.message)
    raise AssertionError("the gate took it")
