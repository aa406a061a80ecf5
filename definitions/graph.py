"""A definition as a graph: its steps, and every way that leads from one to another.

Pure data, drawn by ``definitions.graph_mermaid`` and ``definitions.graph_text``. The kinds of its
edges are those of ``definitions.records.Decision``, so that a run can be laid over it (``ran``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from definitions.decided import decision_of
from definitions.statuses import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from definitions.document import Definition, OnFailure, Step
    from definitions.records import Decision
    from definitions.views import StepView

NodeKind = Literal[
    "task", "http", "workflow", "publish", "approval", "wait", "event", "set", "noop", "fail"
]
_KINDS: dict[str, NodeKind] = {
    "core.http": "http",
    "core.workflow": "workflow",
    "core.publish": "publish",
    "core.approval": "approval",
    "core.wait": "wait",
    "core.event": "event",
    "core.set": "set",
    "core.noop": "noop",
    "core.fail": "fail",
}

#: Of the records of one step (its items, its paths in items of a ``forEach``) the one shown.
_MOST_TELLING = (
    StepStatus.FAILED,
    StepStatus.TIMEOUT,
    StepStatus.WAITING,
    StepStatus.ACTIVE,
    StepStatus.CANCELLED,
    StepStatus.COMPLETED,
    StepStatus.SKIPPED,
    StepStatus.PENDING,
)


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    def to_json(self) -> dict[str, Any]:
        """The part as JSON values, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Edge(_Part):
    """A way on from a step.

    ``kind``: ``sequence`` (the following step), ``condition`` (an entry of ``next``; ``condition``
    is its text, absent where it is always true), ``handler`` (an error handler's condition, with
    what it matches), ``continue`` (``onFailure`` with a target), ``end``. ``global`` belongs to the
    document's own ``onFailure``: it has no ``source``. No ``target``: the end of the list of steps.
    """

    kind: Literal["sequence", "condition", "handler", "continue", "end", "global"]
    source: str | None = None
    target: str | None = None
    condition: str | None = None
    error_type: str | None = None
    error_code: str | None = None

    @property
    def on_failure(self) -> bool:
        """Whether it is taken when something failed."""
        return self.kind in {"handler", "continue", "global"}

    @property
    def matches(self) -> str:
        """The errors that an edge of a failure is for: ``CardDeclined``, ``GatewayError 502``."""
        given = [one for one in (self.error_type, self.error_code) if one is not None]
        if self.error_type is None and given:
            return f"code {self.error_code}"
        return " ".join(given) or "any error"


class Branch(_Part):
    """One of the lists of steps that a step runs side by side."""

    branch_id: str
    nodes: list[Node]
    edges: list[Edge]


class Node(_Part):
    """A step. ``ignores_failure``: when it fails, the run goes on through its own ``next``.

    ``compensation`` is the task that undoes it, ``for_each``: it runs once for each item of a list.
    """

    step_id: str
    name: str | None = None
    task_id: str
    kind: NodeKind = "task"
    for_each: bool = False
    ignores_failure: bool = False
    compensation: str | None = None
    branches: list[Branch] = Field(default_factory=list)


class Graph(_Part):
    """A whole definition. ``edges`` are those of the main path, the document's own among them."""

    workflow_id: str
    version: str
    name: str
    nodes: list[Node]
    edges: list[Edge]


class Ran(NamedTuple):
    """What a run did to a graph: the status of each step that it came to, the ways that it took."""

    statuses: dict[str, StepStatus]
    taken: frozenset[Edge]


def graph_of(definition: Definition) -> Graph:
    """The graph of a definition."""
    nodes, edges = _list(definition.steps)
    return Graph(
        workflow_id=definition.workflow_id,
        version=definition.version,
        name=definition.name,
        nodes=nodes,
        edges=edges + list(_failure_edges(None, definition.on_failure)),
    )


def every_node(nodes: Sequence[Node]) -> Iterator[Node]:
    """All nodes, those of branches included, in the order of the document."""
    for node in nodes:
        yield node
        for branch in node.branches:
            yield from every_node(branch.nodes)


def every_edge(graph: Graph) -> Iterator[Edge]:
    """All edges, those of branches included."""
    yield from graph.edges
    for node in every_node(graph.nodes):
        for branch in node.branches:
            yield from branch.edges


def ran(graph: Graph, steps: Sequence[StepView]) -> Ran:
    """What the record of a run says of each node and each edge of its definition's graph."""
    edges: dict[str | None, list[Edge]] = {}
    for edge in every_edge(graph):
        edges.setdefault(edge.source, []).append(edge)
    latest: dict[str, dict[str, StepView]] = {}
    taken: set[Edge] = set()
    for step in steps:
        if "@" in step.path:
            continue
        paths = latest.setdefault(step.step_id, {})
        known = paths.get(step.path)
        if known is None or known.iteration <= step.iteration:
            paths[step.path] = step
        decision = decision_of(step)
        if decision is not None:
            source = None if decision.kind == "global" else step.step_id
            found = _taken(edges.get(source, []), step, decision)
            taken |= {found} if found is not None else set()
    return Ran({step_id: _status(paths) for step_id, paths in latest.items()}, frozenset(taken))


def _list(steps: Sequence[Step]) -> tuple[list[Node], list[Edge]]:
    nodes: list[Node] = []
    edges: list[Edge] = []
    following: list[str | None] = [*(step.step_id for step in steps[1:]), None]
    for step, after in zip(steps, following, strict=True):
        nodes.append(_node(step))
        edges += _next_edges(step, after)
        edges += _failure_edges(step.step_id, step.on_failure)
    return nodes, edges


def _node(step: Step) -> Node:
    branches = []
    for branch in step.parallel_branches:
        nodes, edges = _list(branch.steps)
        branches.append(Branch(branch_id=branch.branch_id, nodes=nodes, edges=edges))
    return Node(
        step_id=step.step_id,
        name=step.name,
        task_id=step.task_id,
        kind=_KINDS.get(step.task_id, "task"),
        for_each=step.for_each is not None,
        ignores_failure=_ignores_failure(step),
        compensation=step.compensation.task_id if step.compensation is not None else None,
        branches=branches,
    )


def _ignores_failure(step: Step) -> bool:
    handler = step.on_failure
    return handler is not None and handler.action == "continue" and handler.next_step_id is None


def _next_edges(step: Step, following: str | None) -> Iterator[Edge]:
    source = step.step_id
    if step.task_id == "core.fail" and step.for_each is None and not _ignores_failure(step):
        return  # It never ends well.
    if step.next:
        for entry in step.next:
            yield Edge(
                kind="condition",
                source=source,
                target=entry.next_step_id,
                condition=entry.condition,
            )
    elif step.next is None and following is not None:
        yield Edge(kind="sequence", source=source, target=following)
    else:
        yield Edge(kind="end", source=source)


def _failure_edges(source: str | None, on_failure: OnFailure | None) -> Iterator[Edge]:
    if on_failure is None:
        return
    conditions = on_failure.error_handler.conditions if on_failure.error_handler else []
    for one in conditions:
        yield Edge(
            kind="handler" if source is not None else "global",
            source=source,
            target=one.next_step_id,
            error_type=one.error_type,
            error_code=one.error_code,
        )
    if on_failure.action == "continue" and on_failure.next_step_id is not None:
        kind: Literal["continue", "global"] = "continue" if source is not None else "global"
        yield Edge(kind=kind, source=source, target=on_failure.next_step_id)


def _taken(edges: Sequence[Edge], step: StepView, decision: Decision) -> Edge | None:
    """The edge that a decision took; of several to one target the one that it names."""
    if decision.kind == "raise":
        return None
    fitting = [edge for edge in edges if edge.target == decision.target]
    same = [edge for edge in fitting if edge.kind == decision.kind]
    if decision.kind in {"continue", "skip"}:
        # Both may have gone through the step's own ``next``.
        same = same or [edge for edge in fitting if not edge.on_failure]
    if decision.kind in {"handler", "global"}:
        same = [edge for edge in same if _handles(edge, step)] or same
    else:
        true = decision.evaluated[-1] if decision.evaluated else None
        text = true.expression if true is not None and true.result else None
        same = [edge for edge in same if edge.condition == text] or same
    return same[0] if same else None


def _handles(edge: Edge, step: StepView) -> bool:
    error = step.error
    if error is None:
        return False
    return edge.error_type in {None, error.type} and edge.error_code in {None, error.code}


def _status(paths: Mapping[str, StepView]) -> StepStatus:
    """The status of a step: its own record's; where it runs in items, the most telling one."""
    own = [step.status for path, step in paths.items() if "#" not in path.rpartition("/")[2]]
    return min(own or [step.status for step in paths.values()], key=_MOST_TELLING.index)


Branch.model_rebuild()
