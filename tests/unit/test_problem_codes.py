"""The table of codes: it is complete, and each example yields its code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from definitions.declared import check_catalogue
from definitions.inputs import check_input
from definitions.jsongate import JsonGateError, loads
from definitions.problem_codes import (
    CODES,
    WARNINGS,
    CatalogueCode,
    CodeInfo,
    DocumentCode,
    GateCode,
    ValueCode,
    severity_of,
)
from definitions.problem_examples import BASE, Repeated, document_of
from definitions.tasks import TaskSpec
from definitions.validation.api import validate
from definitions.validation.children import registered_among

ROOT = Path(__file__).parents[2] / "definitions"


def codes_of(info: CodeInfo) -> set[tuple[str, str]]:
    """What the example of a code yields: codes with their severities."""
    if info.text is not None:
        text = info.text.text if isinstance(info.text, Repeated) else info.text
        with pytest.raises(JsonGateError) as caught:
            loads(text)
        return {(caught.value.code, "error")}
    if info.value is not None:
        problems = check_input(*info.value)
    elif info.declared is not None:
        problems = check_catalogue(info.declared).problems
    else:
        assert info.document is not None
        catalogue = None
        if info.catalogue is not None:
            catalogue = {
                name: TaskSpec(task_id=name, input_schema=schema)
                for name, schema in info.catalogue.items()
            }
        registered = registered_among(info.registered) if info.registered is not None else None
        document = document_of(info.document)
        problems = validate(document, catalogue=catalogue, registered=registered).problems
    return {(problem.code, problem.severity) for problem in problems}


@pytest.mark.parametrize("code", CODES)
def test_the_example_yields_its_code(code: str) -> None:
    """The code with its severity, and nothing beside it."""
    assert codes_of(CODES[code]) == {(code, CODES[code].severity)}
    assert CODES[code].meaning.endswith(".")


def test_the_table_has_every_code() -> None:
    """The names that the type checker allows are those of the table, and nothing is an orphan."""
    kinds = (GateCode, DocumentCode, ValueCode, CatalogueCode)
    allowed = {code for kind in kinds for code in get_args(kind)}
    assert set(CODES) == allowed
    assert allowed >= WARNINGS
    assert {code for code in CODES if severity_of(CODES[code].code) == "warning"} == WARNINGS


def test_every_code_in_the_sources_is_in_the_table() -> None:
    """Each call that makes a problem uses a code of the table, and each code is used somewhere."""
    texts: set[str] = set()
    for path in [*ROOT.glob("*.py"), *(ROOT / "validation").glob("*.py")]:
        if path.name in {"problem_codes.py", "problem_examples.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    assert set(CODES) <= texts


def test_the_base_of_the_examples_is_valid() -> None:
    """What the examples are laid over has no problem of its own."""
    assert validate(BASE).problems == []
