"""The shape of the document: what its models say, in our words and with JSON Pointers."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from definitions.document import Definition

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from definitions.jsontypes import Json
    from definitions.problem_codes import Code
    from definitions.validation.findings import Findings, Parts

M = TypeVar("M", bound=BaseModel)

#: Codes of problems by pydantic's type of error, or by that of one of our validators.
CODES: dict[str, Code] = {
    "missing": "missing_field",
    "literal_error": "not_one_of",
    "string_pattern_mismatch": "invalid_id",
    "semantic_version": "invalid_version",
    "duration": "invalid_duration",
    "string_too_short": "empty",
    "too_short": "empty",
    "empty_name": "empty",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "description_too_long": "too_long",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}


def check_structure(document: Json, findings: Findings) -> Definition | None:
    """Reports what is wrong with the shape; the definition where nothing is."""
    return check_shape(Definition, document, findings)


def check_shape(model: type[M], document: Json, findings: Findings) -> M | None:
    """Reports what keeps a JSON value from being this model; the model where nothing does."""
    made: M | None = None
    try:
        made = model.model_validate(document)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _report(detail, findings)
    unknown = _report_unknown_fields(model, document, (), findings)
    return None if unknown else made


def _report(detail: ErrorDetails, findings: Findings) -> None:
    kind = detail["type"]
    if kind == "unknown_fields":
        # Reported by a walk of our own: pydantic says it only where nothing else is wrong.
        return
    where: Parts = detail["loc"]
    code = CODES.get(kind, "wrong_type")
    message = sentence(kind, where, detail)
    if kind == "missing":
        where = where[:-1]
    elif kind == "empty_name":
        where = (*where, "")
    findings.add(where, code, message)


#: By pydantic's type of error; ``{name}`` is the field, the others are of the error's context.
_SENTENCES = {
    "missing": "{name} is missing",
    "literal_error": "{name} must be {expected}",
    "string_pattern_mismatch": "{name} must match {pattern}",
    "string_too_short": "{name} must not be empty",
    "too_short": "{name} must not be empty",
    "string_too_long": "{name} has more than {max_length} characters",
    "too_long": "{name} has more than {max_length} members",
    "greater_than_equal": "{name} must be at least {ge:g}",
    "less_than_equal": "{name} must be at most {le:g}",
}
#: Errors that our own validators raised, whose sentence is ours already.
_OURS = frozenset({"semantic_version", "duration", "description_too_long", "empty_name"})


def sentence(kind: str, where: Parts, detail: ErrorDetails) -> str:
    """What is wrong at a place, in our words."""
    name = _name(where)
    if kind in _SENTENCES:
        return _SENTENCES[kind].format(name=name, **detail.get("ctx", {}))
    if kind in _OURS:
        return f"{name}: {detail['msg']}"
    wanted = _WANTED.get(kind, "of another type")
    return f"{name} must be {wanted}, not {json_type(detail['input'])}"


def _name(where: Parts) -> str:
    """What a sentence calls a place: its field, or the list that it is an item of."""
    if not where:
        return "the document"
    if isinstance(where[-1], int):
        field = next((part for part in reversed(where) if isinstance(part, str)), "the document")
        return f"an item of {field}"
    return where[-1]


def json_type(value: Any) -> str:
    """What JSON calls the type of a value, for a sentence."""
    if value is None:
        return "null"
    names: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        (str, "text"),
        ((int, float), "a number"),
        (list, "a list"),
    ]
    return next((name for kind, name in names if isinstance(value, kind)), "an object")


@lru_cache(maxsize=64)
def fields_of(model: type[BaseModel]) -> dict[str, tuple[type[BaseModel] | None, bool]]:
    """The document's names of a model's fields, each with the model of its value, if it has one.

    The flag says that the value is a list of those.
    """
    found: dict[str, tuple[type[BaseModel] | None, bool]] = {}
    for name, field in model.model_fields.items():
        found[field.alias or name] = _model_in(field.annotation, in_list=False)
    return found


def _model_in(annotation: Any, *, in_list: bool) -> tuple[type[BaseModel] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, in_list
    in_list = in_list or get_origin(annotation) is list
    for argument in get_args(annotation):
        found = _model_in(argument, in_list=in_list)
        if found[0] is not None:
            return found
    return None, False


def _report_unknown_fields(
    model: type[BaseModel], value: Json, where: Parts, findings: Findings
) -> bool:
    if not isinstance(value, dict):
        return False
    fields = fields_of(model)
    unknown = False
    for key, member in value.items():
        if key not in fields:
            if not key.startswith("x-"):
                unknown = True
                owner = f"in {_name(where)}" if where else "of the document"
                findings.add(
                    (*where, key),
                    "unknown_field",
                    f"{key!r:.80} is not a field {owner}{findings.meant(key, fields)}",
                )
            continue
        inner, is_list = fields[key]
        if inner is None:
            continue
        here = (*where, key)
        if not is_list:
            unknown |= _report_unknown_fields(inner, member, here, findings)
        elif isinstance(member, list):
            for index, item in enumerate(member):
                unknown |= _report_unknown_fields(inner, item, (*here, index), findings)
    return unknown
