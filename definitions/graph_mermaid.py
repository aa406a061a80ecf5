"""A graph as Mermaid's flowchart (https://mermaid.js.org/syntax/flowchart.html).

Ids are numbered, never taken from the document: Mermaid reserves words (``end``) and reads some
letters after an arrow as its head. Labels are quoted, and every character that means something to
Mermaid or to HTML is written as an entity code, so that no document can change the picture.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from definitions.graph import every_node
from definitions.statuses import StepStatus
from definitions.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from definitions.graph import Edge, Graph, Node, NodeKind

#: Longer labels make a picture nobody can look at.
_LONGEST = 60
_INDENT = "  "
#: What Mermaid, the Markdown of its labels, or HTML would read: quotes, entities, tags, directives
#: (``%%{``), math (``$$``), emphasis, links (also bare addresses) and, at the start, lists.
_SPECIAL = re.compile(r"""["#&<>`\\|%$*_~\[:@]|(?<=www)\.|^[-+=]|^\d(?=\d*[.)])""")

_SHAPES: dict[NodeKind, tuple[str, str]] = {
    "task": ("[", "]"),
    "http": ("[", "]"),
    "publish": ("[", "]"),
    "set": ("[", "]"),
    "workflow": ("[[", "]]"),
    "approval": ("{{", "}}"),
    "wait": ("([", "])"),
    "event": ("([", "])"),
    "noop": ("(", ")"),
    "fail": ("[/", "/]"),
}
#: Readable on a light and on a dark page: text and border bring their own contrast.
_STYLES: dict[StepStatus, str] = {
    StepStatus.COMPLETED: "fill:#d7f0dd,stroke:#2e7d32,color:#12351a",
    StepStatus.FAILED: "fill:#f9d6d5,stroke:#c62828,color:#4a0f0f",
    StepStatus.TIMEOUT: "fill:#f9d6d5,stroke:#c62828,color:#4a0f0f,stroke-dasharray:6 3",
    StepStatus.ACTIVE: "fill:#d3e8fb,stroke:#1565c0,color:#0b2c4d",
    StepStatus.WAITING: "fill:#fdf0c8,stroke:#b07d00,color:#4a3600",
    StepStatus.CANCELLED: "fill:#ead9f2,stroke:#7b1fa2,color:#37104a",
    StepStatus.SKIPPED: "fill:#ececec,stroke:#757575,color:#333333",
    StepStatus.PENDING: "fill:#ffffff,stroke:#bdbdbd,color:#757575,stroke-dasharray:3 3",
}


def escaped(text: str) -> str:
    """A text as it may stand in a quoted label: printable, cut, special characters as codes."""
    plain = one_line(text, _LONGEST)
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", plain)


def mermaid(
    graph: Graph,
    statuses: Mapping[str, StepStatus] | None = None,
    taken: Collection[Edge] = (),
) -> str:
    """The source of a flowchart.

    Args:
        graph: What is drawn.
        statuses: Of a run: the colour of each step by its id; those that are missing are dim.
        taken: Of a run: the ways that it took, drawn thick.
    """
    drawing = _Drawing(graph, statuses or {}, frozenset(taken))
    lines = [*drawing.lines(), *(drawing.colours() if statuses is not None else ())]
    return "\n".join(lines) + "\n"


class _Drawing:
    def __init__(
        self, graph: Graph, statuses: Mapping[str, StepStatus], taken: frozenset[Edge]
    ) -> None:
        self._graph = graph
        self._statuses = statuses
        self._taken = taken
        self._numbers = {
            node.step_id: number for number, node in enumerate(every_node(graph.nodes), start=1)
        }
        self._forks = {node.step_id for node in every_node(graph.nodes) if node.branches}

    def lines(self) -> Iterator[str]:
        """Everything but the colours."""
        graph = self._graph
        yield "flowchart TD"
        yield f'{_INDENT}begin(["{escaped(f"{graph.workflow_id} {graph.version}")}"])'
        yield f"{_INDENT}begin {self._into(graph.nodes[0].step_id)}"
        yield from self._list(graph.nodes, graph.edges, "finish", 1)
        if any(edge.target is None for edge in graph.edges):
            yield f'{_INDENT}finish(["end"])'
        if any(edge.source is None for edge in graph.edges):
            yield f'{_INDENT}failure(["any step fails"])'

    def _entry(self, step_id: str) -> str:
        return f"s{self._numbers[step_id]}"

    def _into(self, first: str) -> str:
        """The arrow to the first step of a list: thick where the run came to it."""
        return f"{'==>' if first in self._statuses else '-->'} {self._entry(first)}"

    def _exit(self, step_id: str | None) -> str:
        """Where a step is left: a step with branches ends when all of them have."""
        if step_id is None:
            return "failure"
        number = self._numbers[step_id]
        return f"j{number}" if step_id in self._forks else f"s{number}"

    def _list(
        self, nodes: Sequence[Node], edges: Sequence[Edge], end: str | None, depth: int
    ) -> Iterator[str]:
        """A list of steps; without ``end`` its ends are left to the caller."""
        for node in nodes:
            yield from self._node(node, depth)
        for edge in edges:
            if end is None and edge.target is None:
                continue
            yield f"{_INDENT * depth}{self._edge(edge, end)}"

    def _edge(self, edge: Edge, end: str | None) -> str:
        target = end if edge.target is None else self._entry(edge.target)
        label = edge.matches if edge.on_failure else edge.condition
        text = f'|"{escaped(label)}"|' if label else ""
        arrow = "==>" if edge in self._taken else "-.->" if edge.on_failure else "-->"
        return f"{self._exit(edge.source)} {arrow}{text} {target}"

    def _node(self, node: Node, depth: int) -> Iterator[str]:
        number, pad = self._numbers[node.step_id], _INDENT * depth
        left, right = _SHAPES[node.kind]
        shown = "<br/>".join(escaped(line) for line in _node_lines(node))
        if not node.branches:
            yield f'{pad}s{number}{left}"{shown}"{right}'
            return
        inner = pad + _INDENT
        each = ", for each item" if node.for_each else ""
        yield f'{pad}subgraph g{number}["{escaped(f"{node.step_id}{each}")}"]'
        yield f'{inner}s{number}{left}"{shown}"{right}'
        for place, branch in enumerate(node.branches, start=1):
            yield f'{inner}subgraph g{number}b{place}["{escaped(branch.branch_id)}"]'
            yield from self._list(branch.nodes, branch.edges, None, depth + 2)
            yield f"{inner}end"
        yield f'{inner}j{number}(("all"))'
        # Not inside the branches: Mermaid puts a node where it is first named.
        for branch in node.branches:
            yield f"{inner}s{number} {self._into(branch.nodes[0].step_id)}"
            for edge in branch.edges:
                if edge.target is None:
                    yield f"{inner}{self._edge(edge, f'j{number}')}"
        yield f"{pad}end"

    def colours(self) -> Iterator[str]:
        """A class for each status that occurs."""
        groups: dict[StepStatus, list[str]] = {}
        for step_id, number in self._numbers.items():
            status = StepStatus(self._statuses.get(step_id, StepStatus.PENDING))
            groups.setdefault(status, []).append(f"s{number}")
        for status, style in _STYLES.items():
            if status in groups:
                yield f"{_INDENT}classDef {status} {style}"
                yield f"{_INDENT}class {','.join(groups[status])} {status}"


def _node_lines(node: Node) -> Iterator[str]:
    yield node.name or node.step_id
    about = [node.step_id] if node.name else []
    if node.kind != "task" or node.task_id != node.step_id:
        about.append(node.task_id)
    if about:
        yield " · ".join(about)
    if node.for_each and not node.branches:
        yield "for each item"
    if node.ignores_failure:
        yield "goes on when it fails"
    if node.compensation is not None:
        yield f"undone by {node.compensation}"
