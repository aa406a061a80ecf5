"""The ways through each list of steps: from where to where a run can go, and what came before.

Where a document is broken (a target that nobody has), a way is taken to end there, so that one
mistake is not reported as several.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from definitions.validation.outline import object_of, objects_in, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from definitions.jsontypes import JsonObject
    from definitions.validation.outline import Outline, RawStep, StepList


@dataclass(slots=True)
class Ways:
    """Where a run can go from a step, by positions in its list.

    ``onward``: after it ended well; ``failed``: after it failed; ``ends``: the list can end here;
    ``falls``: it goes to the following step because it has no ``next``; ``broken``: it names a step
    that is not there.
    """

    onward: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    ends: bool = False
    falls: bool = False
    broken: bool = False

    @property
    def all(self) -> list[int]:
        """Both kinds."""
        return [*self.onward, *self.failed]


class Flow:
    """The ways of a whole document, reckoned once for all rules."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        targets = _handler_targets(object_of(outline.document, "onFailure"), outline.main)
        self.graphs = {
            steps.where: Graph(steps, targets if steps is outline.main else ())
            for steps in outline.lists
        }
        #: Whether the document's own ``onFailure`` leads anywhere.
        self.handles = bool(targets)

    def of(self, steps: StepList) -> Graph:
        """The graph of a list."""
        return self.graphs[steps.where]

    def runs_before(self, other: RawStep, step: RawStep) -> bool:
        """Whether ``other`` can have ended, and can be seen, when ``step`` begins."""
        around: dict[tuple[str | int, ...], RawStep] = {}
        at: RawStep | None = step
        while at is not None:
            around[at.siblings.where] = at
            at = at.siblings.owner
        seen: RawStep | None = other
        while seen is not None and seen.siblings.where not in around:
            seen = seen.siblings.owner
        if seen is None:
            return True
        here = around[seen.siblings.where]
        return bool(self.of(seen.siblings).before(here.position) >> seen.position & 1)

    def reachable(self, step: RawStep) -> bool:
        """Whether a run can come to a step, and to those around it."""
        at: RawStep | None = step
        while at is not None:
            if at.position not in self.of(at.siblings).reached:
                return False
            at = at.siblings.owner
        return True


class Graph:
    """The graph of one list. The document's own ``onFailure`` is a node behind the last step."""

    def __init__(self, steps: StepList, on_failure: Sequence[int] = ()) -> None:
        self.steps = steps
        self.ways = [_ways_of(step) for step in steps.steps]
        if on_failure:
            for way in self.ways:
                way.failed.append(len(self.ways))
            self.ways.append(Ways(failed=list(on_failure)))
        start = [0] if self.ways else []
        #: Where a run can come at all, and where it can come without a failure.
        self.reached = _reach(start, [way.all for way in self.ways])
        self.reached_well = _reach(start, [way.onward for way in self.ways])
        #: Whether some way leads nobody knows where.
        self.broken = any(way.broken for way in self.ways)
        self._before: list[int] | None = None

    def trapped(self) -> set[int]:
        """The positions from which a run can never come to an end."""
        back: list[list[int]] = [[] for _ in self.ways]
        for position, way in enumerate(self.ways):
            for target in way.all:
                back[target].append(position)
        ends = [position for position, way in enumerate(self.ways) if way.ends]
        return self.reached - _reach(ends, back)

    def loops(self, within: set[int]) -> list[list[int]]:
        """The groups of positions that only lead to one another."""
        found = []
        for group in _components([way.all for way in self.ways]):
            members = set(group)
            if members <= within and all(t in members for p in group for t in self.ways[p].all):
                found.append(sorted(members - {len(self.steps.steps)}))
        return found

    def before(self, position: int) -> int:
        """The positions from which a run can come to this one, as the bits of a number."""
        if self._before is None:
            self._before = _ancestors([way.all for way in self.ways])
        return self._before[position]


def _ways_of(step: RawStep) -> Ways:
    value, ids = step.value, step.siblings.ids
    ways = Ways()
    targets: list[str] = []
    entries = value.get("next")
    if entries is None:
        following = step.position + 1
        if following < len(step.siblings.steps):
            ways.onward.append(following)
            ways.falls = True
        else:
            ways.ends = True
    elif isinstance(entries, list):
        ways.ends = not entries
        for _, entry in objects_in(entries):
            targets.append(text_of(entry, "nextStepId") or "")
            if entry.get("condition") is None:
                break
    else:
        ways.broken = True
    ways.broken = ways.broken or any(target not in ids for target in targets)
    ways.onward += [ids[target].position for target in targets if target in ids]
    _add_failure(step, ways)
    return ways


def _add_failure(step: RawStep, ways: Ways) -> None:
    on_failure = object_of(step.value, "onFailure")
    ways.failed = list(_handler_targets(on_failure, step.siblings))
    target = text_of(on_failure, "nextStepId")
    ends_well = ways.ends and on_failure.get("action") == "continue" and target is None
    if on_failure.get("action") == "continue" and target is None:
        ways.failed += ways.onward
    if on_failure and any(name not in step.siblings.ids for name in _named_targets(on_failure)):
        ways.broken = True
    ways.ends = ways.ends or ways.broken
    if always_fails(step):
        # What it goes on to, it goes on to by ``continue``.
        ways.onward, ways.falls = [], False
        ways.ends = ways.broken or ends_well or not _takes_all(on_failure)


def always_fails(step: RawStep) -> bool:
    """Whether the step can never end well (over no items it can)."""
    return step.task_id == "core.fail" and step.value.get("forEach") is None


def _takes_all(on_failure: JsonObject) -> bool:
    conditions = object_of(on_failure, "errorHandler").get("conditions")
    return on_failure.get("action") == "continue" or any(
        condition.get("errorType") is None and condition.get("errorCode") is None
        for _, condition in objects_in(conditions)
    )


def may_be_handled(step: RawStep) -> bool:
    """Whether a run can go on after a failure of this step, or of an item of it."""
    on_failure = object_of(step.value, "onFailure")
    tolerated = object_of(step.value, "forEach").get("toleratedFailures")
    return bool(
        on_failure.get("action") == "continue"
        or any(True for _ in objects_in(object_of(on_failure, "errorHandler").get("conditions")))
        or tolerated
    )


def _named_targets(on_failure: JsonObject) -> list[str]:
    conditions = object_of(on_failure, "errorHandler").get("conditions")
    named = [text_of(condition, "nextStepId") for _, condition in objects_in(conditions)]
    if on_failure.get("action") == "continue":
        named.append(text_of(on_failure, "nextStepId"))
    return [name for name in named if name is not None]


def _handler_targets(on_failure: JsonObject, steps: StepList) -> list[int]:
    return [steps.ids[name].position for name in _named_targets(on_failure) if name in steps.ids]


def _reach(start: Iterable[int], edges: Sequence[Sequence[int]]) -> set[int]:
    found = set(start)
    pending = list(found)
    while pending:
        for target in edges[pending.pop()]:
            if target not in found:
                found.add(target)
                pending.append(target)
    return found


def _components(edges: Sequence[Sequence[int]]) -> list[list[int]]:
    """The strongly connected components, those that are led to first (Tarjan's algorithm)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    on_stack: set[int] = set()
    stack: list[int] = []
    found: list[list[int]] = []
    for root in range(len(edges)):
        work = [] if root in index else [(root, iter(edges[root]))]
        while work:
            node, targets = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            for target in targets:
                if target not in index:
                    work.append((target, iter(edges[target])))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group: list[int] = []
                    while not group or group[-1] != node:
                        group.append(stack.pop())
                    on_stack.difference_update(group)
                    found.append(group)
    return found


def _ancestors(edges: Sequence[Sequence[int]]) -> list[int]:
    found = [0] * len(edges)
    for group in reversed(_components(edges)):
        members = 0
        for node in group:
            members |= 1 << node
        before = 0
        for node in group:
            before |= found[node]
        if len(group) > 1 or group[0] in edges[group[0]]:
            before |= members
        for node in group:
            found[node] = before
        passed_on = before | members
        for node in group:
            for target in edges[node]:
                if not members >> target & 1:
                    found[target] |= passed_on
    return found
