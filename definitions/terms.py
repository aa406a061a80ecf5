"""An expression's syntax tree, as far as steploom reads it: for its cost and for its mistakes.

The tree is of no library: ``definitions.cel`` makes it, ``definitions.cost`` and the rules of
``definitions.validation`` read it. Its operators have CEL's names (``_==_``, ``_&&_``, ``@in``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.jsontypes import Json

Path: TypeAlias = tuple[str, ...]
#: Operators that may leave an operand out, or pass over its error.
LAZY = frozenset({"_&&_", "_||_", "_?_:_"})


@dataclass(frozen=True, slots=True)
class Term:
    """A node of the tree; equal trees are equal.

    By ``kind``: ``const`` is ``value``, of the type ``name``; ``name`` an identifier; ``field`` the
    member ``name`` of the one argument, and ``has`` the question whether there is one; ``call`` the
    operator or function ``name`` with its arguments, the one before the dot first; ``list`` and
    ``map`` literals (keys and values in turn); ``fold`` a macro over a list: ``name`` is its
    variable, ``value`` that of what it gathers, the arguments are the list, the beginning, whether
    to go on, the step and the result.
    """

    kind: Literal["const", "name", "field", "has", "call", "list", "map", "fold"]
    name: str = ""
    value: Json = None
    args: tuple[Term, ...] = ()

    @property
    def path(self) -> Path | None:
        """``("steps", "charge", "output")`` of a chain of members, None for anything else."""
        if self.kind == "name":
            return (self.name,)
        if self.kind == "field":
            above = self.args[0].path
            return None if above is None else (*above, self.name)
        return None

    @property
    def gathers(self) -> bool:
        """Whether it is a fold that makes a list (``map``, ``filter``)."""
        return self.kind == "fold" and self.args[1].kind == "list"


@dataclass(frozen=True, slots=True)
class Read:
    """A path that an expression reads.

    ``asked``: it only asks whether the last part is there, by ``has`` or ``in``. ``certain``: no
    evaluation comes by without it.
    """

    path: Path
    asked: bool = False
    certain: bool = True


def walk(term: Term) -> Iterator[Term]:
    """A term and all below it."""
    yield term
    for part in term.args:
        yield from walk(part)


def reads(
    term: Term, bound: frozenset[str] = frozenset(), *, certain: bool = True
) -> Iterator[Read]:
    """Every path that a term reads, in the order of the text."""
    path = term.path
    if path is not None:
        if path[0] not in bound:
            yield Read(path, certain=certain)
        return
    if term.kind == "has" and (of := term.args[0].path) is not None:
        if of[0] not in bound:
            yield Read((*of, term.name), asked=True, certain=certain)
        return
    if term.kind == "fold":
        inner = bound | {term.name, str(term.value)}
        yield from reads(term.args[0], bound, certain=certain)
        for part in term.args[1:]:
            yield from reads(part, inner, certain=False)
        return
    if term.name == "@in" and (asked := _asked_by_in(term)) is not None and asked[0] not in bound:
        yield Read(asked, asked=True, certain=certain)
    for number, part in enumerate(term.args):
        sure = certain and (term.name not in LAZY or (term.name == "_?_:_" and number == 0))
        yield from reads(part, bound, certain=sure)


def _asked_by_in(term: Term) -> Path | None:
    key, container = term.args
    of = container.path
    if of is None or key.kind != "const" or not isinstance(key.value, str):
        return None
    return (*of, key.value)
