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
    return "\n".join(_Drawing(graph, frozenset(taken)).lines(statuses)) + "\n"


class _Drawing:
    def __init__(self, graph: Graph, taken: frozenset[Edge]) -> None:
        self._graph = graph
        self._taken = taken
        self._numbers = {
            node.step_id: number for number, node in enumerate(every_node(graph.nodes), start=1)
        }
        self._forks = {node.step_id for node in every_node(graph.nodes) if node.branches}

    def lines(self, statuses: Mapping[str, StepStatus] | None) -> Iterator[str]:
        graph = self._graph
        yield "flowchart TD"
        yield f'{_INDENT}begin(["{escaped(f"{graph.workflow_id} {graph.version}")}"])'
        begun = "==>" if statuses else "-->"
        yield f"{_INDENT}begin {begun} {self._entry(graph.nodes[0].step_id)}"
        yield from self._list(graph.nodes, graph.edges, "finish", 1)
        if any(edge.target is None for edge in graph.edges):
            yield f'{_INDENT}finish(["end"])'
        if any(edge.source is None for edge in graph.edges):
            yield f'{_INDENT}failure(["any step fails"])'
        if statuses is not None:
            yield from self._colours(statuses)

    def _entry(self, step_id: str) -> str:
        return f"s{self._numbers[step_id]}"

    def _exit(self, step_id: str | None) -> str:
        """Where a step is left: a step with branches ends when all of them have."""
        if step_id is None:
            return "failure"
        number = self._numbers[step_id]
        return f"j{number}" if step_id in self._forks else f"s{number}"

    def _list(
        self, nodes: Sequence[Node], edges: Sequence[Edge], end: str, depth: int
    ) -> Iterator[str]:
        for node in nodes:
            yield from self._node(node, depth)
        for edge in edges:
            target = end if edge.target is None else self._entry(edge.target)
            label = _label(edge)
            text = f'|"{escaped(label)}"|' if label else ""
            arrow = "==>" if edge in self._taken else "-.->" if edge.on_failure else "-->"
            yield f"{_INDENT * depth}{self._exit(edge.source)} {arrow}{text} {target}"

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
            yield from self._list(branch.nodes, branch.edges, f"j{number}", depth + 2)
            yield f"{inner}end"
            yield f"{inner}s{number} --> {self._entry(branch.nodes[0].step_id)}"
        yield f'{inner}j{number}(("all"))'
        yield f"{pad}end"

    def _colours(self, statuses: Mapping[str, StepStatus]) -> Iterator[str]:
        groups: dict[StepStatus, list[str]] = {}
        for step_id, number in self._numbers.items():
            status = StepStatus(statuses.get(step_id, StepStatus.PENDING))
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


def _label(edge: Edge) -> str | None:
    return edge.matches if edge.on_failure else edge.condition
