"""Which steps and transitions of each definition no case reached.

A definition is known by its content: cases that share one add up, wherever they stand, and two
contents under one name are told apart. A transition is an edge of ``definitions.graph`` that leads
to a step; that a list of steps ends is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID

from definitions.canonical import content_hash
from definitions.document import Definition
from definitions.graph import every_edge, every_node, graph_of, ran
from definitions.records import StepRecord, TransitionRecord
from definitions.statuses import StepStatus
from definitions.texts import one_line
from definitions.views import StepView

if TYPE_CHECKING:
    from definitions.graph import Edge, Graph
    from worker.rehearsal.case import Case
    from worker.rehearsal.journal import Journal

_CONDITION = 70
#: What a graph asks of a step's record.
_ASKED = {"seq", "path", "iteration", "step_id", "status", "error", "decision"}
#: What is left out of a percentage is never rounded away.
_HUNDREDTHS = 10_000


@dataclass(frozen=True, slots=True)
class DefinitionCoverage:
    """What the cases reached of one definition, and what they did not, in the document's order."""

    workflow_id: str
    version: str
    content_hash: str
    cases: int
    steps: int
    transitions: int
    missed_steps: Sequence[str]
    missed_transitions: Sequence[Edge]

    @property
    def reached(self) -> int:
        """How many steps and transitions were reached."""
        return self.places - len(self.missed_steps) - len(self.missed_transitions)

    @property
    def places(self) -> int:
        """How many steps and transitions there are."""
        return self.steps + self.transitions

    def to_json(self) -> dict[str, Any]:
        """The coverage as JSON values."""
        return {
            "workflowId": self.workflow_id,
            "version": self.version,
            "contentHash": self.content_hash,
            "cases": self.cases,
            "percent": percent([self]),
            "steps": {"total": self.steps, "missed": list(self.missed_steps)},
            "transitions": {
                "total": self.transitions,
                "missed": [edge.to_json() for edge in self.missed_transitions],
            },
        }


@dataclass(slots=True)
class _Seen:
    """One definition with what was reached of it so far."""

    graph: Graph
    steps: list[str]
    edges: list[Edge]
    cases: int = 0
    reached: set[str] = field(default_factory=set)
    taken: set[Edge] = field(default_factory=set)


class Coverage:
    """Adds up what cases reach."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def add(self, case: Case, journal: Journal | None) -> None:
        """Counts a case; None for the journal of a run that never ended: it reached nothing."""
        digest = content_hash(case.definition)
        known = self._seen.get(digest)
        if known is None:
            graph = graph_of(Definition.model_validate(case.definition))
            steps = [node.step_id for node in every_node(graph.nodes)]
            # Two equal edges are one way: nobody can tell which of them was taken.
            edges = list(dict.fromkeys(edge for edge in every_edge(graph) if edge.kind != "end"))
            known = self._seen[digest] = _Seen(graph, steps, edges)
        known.cases += 1
        if journal is not None:
            statuses, taken = ran(known.graph, step_views(journal))
            known.reached |= {name for name, status in statuses.items() if _reached(status)}
            known.taken |= taken

    def definitions(self) -> list[DefinitionCoverage]:
        """The coverage of each definition, in the order in which they were first seen."""
        return [
            DefinitionCoverage(
                workflow_id=seen.graph.workflow_id,
                version=seen.graph.version,
                content_hash=digest,
                cases=seen.cases,
                steps=len(seen.steps),
                transitions=len(seen.edges),
                missed_steps=[name for name in seen.steps if name not in seen.reached],
                missed_transitions=[edge for edge in seen.edges if edge not in seen.taken],
            )
            for digest, seen in self._seen.items()
        ]


def percent(covered: Sequence[DefinitionCoverage]) -> float:
    """How much of some definitions was reached, steps and transitions alike; 100 of nothing.

    Rounded down to hundredths, so that only all of it is 100.
    """
    places = sum(one.places for one in covered)
    reached = sum(one.reached for one in covered)
    return (_HUNDREDTHS * reached // places) / 100 if places else 100.0


def transition_text(edge: Edge) -> str:
    """A transition in words: ``check → pay if data.amount > 3``, ``check → tell on Declined``."""
    way = f"{edge.source or 'any step'} → {edge.target}"
    if edge.on_failure:
        return f"{way} on {one_line(edge.matches, _CONDITION)}"
    return way if edge.condition is None else f"{way} if {one_line(edge.condition, _CONDITION)}"


def coverage_lines(covered: Sequence[DefinitionCoverage]) -> list[str]:
    """The coverage of all definitions as lines: what is missing, and how much there is."""
    lines: list[str] = []
    for one in covered:
        steps, transitions = len(one.missed_steps), len(one.missed_transitions)
        lines.append(
            f"{one.workflow_id} {one.version}: {percent([one]):g} %, "
            f"{one.steps - steps} of {one.steps} steps, "
            f"{one.transitions - transitions} of {one.transitions} transitions"
        )
        lines += [f"    step not reached      {name}" for name in one.missed_steps]
        lines += [
            f"    transition not taken  {transition_text(edge)}" for edge in one.missed_transitions
        ]
    return lines


def step_views(journal: Journal) -> list[StepView]:
    """The steps of a journal as their record would be read back, as far as a graph asks."""
    known: dict[tuple[str, int], dict[str, Any]] = {}
    records = [one for one in journal.records if isinstance(one, StepRecord)]
    for step in sorted(
        [*records, *(one.step for one in journal.attempts)], key=lambda one: one.seq
    ):
        facts = known.setdefault((step.path, step.iteration), {"id": NAMESPACE_OID})
        facts |= {name: value for name, value in step if name in _ASKED and value is not None}
    for record in journal.records:
        if isinstance(record, TransitionRecord):
            known[record.path, record.iteration]["decision"] = record.decision
    return [StepView.model_validate(facts) for facts in known.values()]


def _reached(status: StepStatus) -> bool:
    return status not in {StepStatus.PENDING, StepStatus.SKIPPED}
