"""The codes of problems, each with its meaning, its smallest example and what is said of that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

from definitions.declared import check_catalogue
from definitions.problem_codes import CODES, CatalogueCode, DocumentCode, GateCode, ValueCode
from definitions.problem_examples import Repeated, document_of
from definitions.tasks import TaskSpec
from definitions.validation.api import validate
from definitions.validation.children import registered_among
from generated.markdown import pretty, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from definitions.jsontypes import Json
    from definitions.problem_codes import CodeInfo
    from definitions.problems import Problem


def gate_codes() -> str:
    """Those of the JSON gate."""
    return _table(get_args(GateCode))


def document_codes() -> str:
    """Those of a document."""
    return "\n\n".join(_entry(CODES[code]) for code in get_args(DocumentCode))


def catalogue_codes() -> str:
    """Those of a task catalogue alone."""
    return "\n\n".join(_entry(CODES[code]) for code in get_args(CatalogueCode))


def value_codes() -> str:
    """Those of a value that does not fit its schema."""
    return _table(get_args(ValueCode))


def _table(codes: Iterable[str]) -> str:
    rows = [(f"`{code}`", _escaped(CODES[code].meaning), _inline(CODES[code])) for code in codes]
    return table(("code", "meaning", "example"), rows)


def _inline(info: CodeInfo) -> str:
    if info.text is not None:
        return f"`{_text(info.text)}`"
    if info.value is not None:
        schema, value = (json.dumps(one, ensure_ascii=False) for one in info.value)
        return f"schema `{schema}`, value `{value}`"
    return f"`{info.document}`"


def _entry(info: CodeInfo) -> str:
    warning = " A warning." if info.severity == "warning" else ""
    said = _said(info)
    place = f"`{said.pointer}`: " if said.pointer else ""
    end = "" if said.message.endswith("?") else "."
    told = f"{place}*{_escaped(said.message)}{end}*"
    return f"### `{info.code}`\n{info.meaning}{warning} {told}\n{_example(info)}"


def _example(info: CodeInfo) -> str:
    members = {key: _shown(value) for key, value in (info.document or info.declared or {}).items()}
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
    if info.declared is not None:
        [problem] = check_catalogue(info.declared).problems
        return problem
    catalogue = None
    if info.catalogue is not None:
        catalogue = {
            name: TaskSpec(task_id=name, input_schema=schema)
            for name, schema in info.catalogue.items()
        }
    registered = registered_among(info.registered) if info.registered is not None else None
    document = document_of(info.document or {})
    found = validate(document, catalogue=catalogue, registered=registered).problems
    return next(problem for problem in found if problem.code == info.code)
