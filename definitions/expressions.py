"""The expression language as the rest of the house sees it: a small port.

``definitions.cel`` implements it with CEL. Nothing else imports an expression library, so another
language, or another CEL, is one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.jsontypes import Json
    from definitions.terms import Term

#: The longest expression that is accepted, in characters.
MAX_EXPRESSION_LENGTH = 1_500
#: How many macros (``map``, ``filter``, ``all``, …) may stand inside or after one another: each can
#: double what it is given, and the evaluator's own budget counts steps, not memory.
MAX_NESTED_MACROS = 4

#: Names that every expression of a step can use.
STEP_NAMES = frozenset(
    {"input", "data", "variables", "steps", "workflow", "config", "status", "error"}
)
#: A step's ``output`` mapping and the conditions of its ``next``.
AFTER_STEP_NAMES = STEP_NAMES | {"output"}
#: Everything of a step with ``forEach`` that runs once for each item.
ITEM_NAMES = STEP_NAMES | {"item", "index"}
#: ``uiComponents``.
UI_NAMES = STEP_NAMES | {"user", "progress", "currentStep"}
#: A trigger's ``condition``.
TRIGGER_NAMES = frozenset({"event"})


class ExpressionSyntaxError(ValueError):
    """A text that is no expression, or one that names something out of scope. One sentence."""


class EvaluationError(Exception):
    """An expression that failed on its data: a missing field, a wrong type, a spent budget."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"{reason} (in the expression {expression!r})")
        self.expression = expression
        self.reason = reason


class Reference(NamedTuple):
    """What an expression reads.

    ``steps['charge-card'].output.id`` is ``("steps", "charge-card", "output", "id")``. A computed
    index ends the path before it.
    """

    path: tuple[str, ...]

    @override
    def __str__(self) -> str:
        head, *rest = self.path
        return head + "".join(f".{part}" if part.isidentifier() else f"[{part!r}]" for part in rest)


class Expression(Protocol):
    """A parsed expression, ready to be evaluated any number of times."""

    @property
    def text(self) -> str:
        """As it stands in the document, without ``${ }``."""
        ...

    @property
    def references(self) -> tuple[Reference, ...]:
        """Everything that it may read, in the order of its text, each once."""
        ...

    @property
    def result_type(self) -> str:
        """``bool``, ``int``, ``double``, ``string``, ``list``, ``map``, …, or ``dyn``."""
        ...

    @property
    def term(self) -> Term:
        """Its syntax tree."""
        ...

    def cost(self, scope: Mapping[str, Json]) -> float:
        """What an evaluation can cost in this scope at most, in units of about a nanosecond."""
        ...

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        """The value, as JSON.

        Raises:
            EvaluationError: Whatever goes wrong; nothing is silently false.
        """
        ...

    def test(self, scope: Mapping[str, Json]) -> bool:
        """The value of a condition.

        Raises:
            EvaluationError: As ``evaluate``, and when the value is not a boolean.
        """
        ...

    def values_read(self, scope: Mapping[str, Json]) -> dict[str, Json]:
        """Each reference as text with its value in this scope; missing ones are left out."""
        ...
