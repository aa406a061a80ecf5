"""The expressions of a place, parsed. What does not parse is another rule's, and passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.cel import compile_expression
from definitions.expressions import ExpressionSyntaxError
from definitions.templates import find_expressions
from definitions.validation.places import places_of_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.expressions import Expression
    from definitions.validation.findings import Parts
    from definitions.validation.outline import RawStep
    from definitions.validation.places import Place


def expressions_at(place: Place) -> Iterator[tuple[Parts, Expression]]:
    """Each expression of a place, with where it stands in the document."""
    if place.kind == "condition":
        texts: list[tuple[Parts, str]] = [((), place.value)]
    else:
        texts = list(find_expressions(place.value))
    for where, text in texts:
        try:
            yield (*place.where, *where), compile_expression(text, place.names)
        except ExpressionSyntaxError:
            continue


def own_places(step: RawStep) -> Iterator[Place]:
    """The places of a step that are evaluated while it runs."""
    return (place for place in places_of_step(step) if place.role != "compensation")
