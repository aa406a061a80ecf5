"""A graph as text: an indented picture with arrows, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.statuses import StepStatus
from definitions.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from definitions.graph import Edge, Graph, Node

#: Columns, where the caller knows no better.
WIDTH = 100
_CONDITION = 70
_MARKS: dict[StepStatus, str] = {
    StepStatus.PENDING: "·",
    StepStatus.ACTIVE: "▸",
    StepStatus.WAITING: "?",
    StepStatus.COMPLETED: "✓",
    StepStatus.FAILED: "✗",
    StepStatus.SKIPPED: "»",
    StepStatus.CANCELLED: "⊘",
    StepStatus.TIMEOUT: "✗",
}


def as_text(
    graph: Graph,
    statuses: Mapping[str, StepStatus] | None = None,
    taken: Collection[Edge] = (),
    *,
    width: int = WIDTH,
) -> str:
    """The picture; no line is longer than ``width``.

    Args:
        graph: What is drawn.
        statuses: Of a run: what became of each step, by its id.
        taken: Of a run: the ways that it took; they have double arrows.
        width: In characters.
    """
    picture = _Picture(statuses, frozenset(taken))
    lines = [f"{one_line(graph.name)} ({graph.workflow_id} {graph.version})", ""]
    lines += picture.list_of(graph.nodes, graph.edges, "end of the run")
    overall = [edge for edge in graph.edges if edge.source is None]
    if overall:
        lines += ["", "When a step fails and nothing in it handles the error:"]
        lines += [f"    {picture.failure(edge)}" for edge in overall]
    return "\n".join(_cut(line, width) for line in lines) + "\n"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


class _Picture:
    def __init__(self, statuses: Mapping[str, StepStatus] | None, taken: frozenset[Edge]) -> None:
        self._statuses = statuses
        self._taken = taken

    def list_of(self, nodes: Sequence[Node], edges: Sequence[Edge], end: str) -> Iterator[str]:
        """The lines of a list of steps; ``end`` is what comes after its last one."""
        of_node: dict[str | None, list[Edge]] = {}
        for edge in edges:
            of_node.setdefault(edge.source, []).append(edge)
        for node in nodes:
            ways = of_node.get(node.step_id, [])
            yield self._head(node)
            yield from self._branches(node)
            onward = [edge for edge in ways if not edge.on_failure]
            for place, edge in enumerate(onward):
                if edge.kind != "sequence":
                    yield f"    {self._onward(edge, first=place == 0, end=end)}"
            for edge in ways:
                if edge.on_failure:
                    yield f"    {self.failure(edge)}"
            if node.ignores_failure:
                others = "any other error" if any(edge.on_failure for edge in ways) else "any error"
                yield f"    ✗ {others}: goes on as if it had not failed"
            if not ways:
                yield "    ✗ fails"
            following = [edge for edge in onward if edge.kind == "sequence"]
            if following:
                yield "⇓" if following[0] in self._taken else "↓"
            elif node is not nodes[-1]:
                yield ""

    def failure(self, edge: Edge) -> str:
        """A way on from a failure."""
        return f"✗ {one_line(edge.matches, _CONDITION)} {self._arrow(edge)} {edge.target}"

    def _head(self, node: Node) -> str:
        status = None if self._statuses is None else self._statuses.get(node.step_id)
        mark = "•" if self._statuses is None else _MARKS[StepStatus(status or "pending")]
        name = f"  {one_line(node.name)}" if node.name else ""
        about = [] if node.task_id == node.step_id else [one_line(node.task_id)]
        if node.for_each:
            about.append("for each item")
        if node.compensation is not None:
            about.append(f"undone by {one_line(node.compensation)}")
        more = f"  ({', '.join(about)})" if about else ""
        said = f"  [{status}]" if status is not None else ""
        return f"{mark} {node.step_id}{said}{name}{more}"

    def _branches(self, node: Node) -> Iterator[str]:
        for branch in node.branches:
            yield f"    ├─ {branch.branch_id}"
            inner = self.list_of(branch.nodes, branch.edges, "end of the branch")
            yield from (f"    │  {line}".rstrip() for line in inner)
        if node.branches:
            yield "    ┴ when all have ended"

    def _onward(self, edge: Edge, *, first: bool, end: str) -> str:
        to = f"{self._arrow(edge)} {edge.target or end}"
        if edge.condition is not None:
            return f"{to}  if {one_line(edge.condition, _CONDITION)}"
        return to if first else f"{to}  otherwise"

    def _arrow(self, edge: Edge) -> str:
        return "⇒" if edge in self._taken else "→"
