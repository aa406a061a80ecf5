"""The graph of a definition, what a run did to it, and its two pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.document import Definition
from definitions.graph import Edge, Graph, every_edge, every_node, graph_of, ran
from definitions.graph_mermaid import escaped, mermaid
from definitions.graph_text import as_text
from definitions.statuses import StepStatus
from tests.unit.drawn import definitions
from tests.unit.recorded import run_case

EXAMPLES = Path(__file__).parents[2] / "definitions" / "examples"


def document(*steps: dict[str, Any], **members: Any) -> dict[str, Any]:
    made = [{"taskId": "core.noop", **step} for step in steps]
    return {"workflowId": "drawn", "name": "Drawn", "version": "1.0.0", "steps": made, **members}


def graph(*steps: dict[str, Any], **members: Any) -> Graph:
    return graph_of(Definition.model_validate(document(*steps, **members)))


def edges(made: Graph) -> list[tuple[str, str | None, str | None]]:
    return [(edge.kind, edge.source, edge.target) for edge in made.edges]


def test_without_next_the_following_step_comes_and_the_last_one_ends() -> None:
    """The order of the list is a way like any other."""
    made = graph({"stepId": "a"}, {"stepId": "b"})
    assert edges(made) == [("sequence", "a", "b"), ("end", "b", None)]


def test_conditions_handlers_and_continue() -> None:
    """Every way out of a step is an edge, in the order in which it is tried."""
    made = graph(
        {
            "stepId": "a",
            "next": [{"nextStepId": "b", "condition": "data.n > 1"}, {"nextStepId": "c"}],
            "onFailure": {
                "action": "continue",
                "nextStepId": "b",
                "errorHandler": {"conditions": [{"errorCode": "502", "nextStepId": "c"}]},
            },
        },
        {"stepId": "b", "next": []},
        {"stepId": "c", "onFailure": {"action": "continue"}},
        onFailure={"action": "continue", "nextStepId": "c"},
    )
    assert edges(made) == [
        ("condition", "a", "b"),
        ("condition", "a", "c"),
        ("handler", "a", "c"),
        ("continue", "a", "b"),
        ("end", "b", None),
        ("end", "c", None),
        ("global", None, "c"),
    ]
    assert [edge.condition for edge in made.edges[:2]] == ["data.n > 1", None]
    assert [edge.matches for edge in made.edges[2:4]] == ["code 502", "any error"]
    assert [node.ignores_failure for node in made.nodes] == [False, False, True]


def test_branches_are_graphs_of_their_own() -> None:
    """A branch has its own nodes and edges, to any depth."""
    inner = {"branchId": "in", "steps": [{"stepId": "c", "taskId": "core.wait"}]}
    middle = {"stepId": "b", "taskId": "t", "parallelBranches": [inner]}
    made = graph({"stepId": "a", "parallelBranches": [{"branchId": "out", "steps": [middle]}]})
    assert [(node.step_id, node.kind) for node in every_node(made.nodes)] == [
        ("a", "noop"), ("b", "task"), ("c", "wait"),
    ]  # fmt: skip
    assert made.nodes[0].branches[0].edges == [Edge(kind="end", source="b")]
    assert len(list(every_edge(made))) == 3


def test_a_step_that_only_fails_leads_nowhere() -> None:
    """``core.fail`` has no way on, unless its failure is passed over."""
    assert edges(graph({"stepId": "a", "taskId": "core.fail"}, {"stepId": "b"}))[0][1] == "b"
    passed = {"stepId": "a", "taskId": "core.fail", "onFailure": {"action": "continue"}}
    assert edges(graph(passed, {"stepId": "b"}))[0] == ("sequence", "a", "b")


def test_a_run_is_laid_over_its_graph() -> None:
    """Statuses and the ways that were taken, of two conditions to one target the right one."""
    steps = (
        {
            "stepId": "a",
            "next": [
                {"nextStepId": "c", "condition": "data.n > 9"},
                {"nextStepId": "c", "condition": "data.n > 1"},
                {"nextStepId": "b"},
            ],
        },
        {"stepId": "b"},
        {
            "stepId": "c",
            "taskId": "core.fail",
            "input": {"errorType": "Odd"},
            "onFailure": {
                "errorHandler": {
                    "conditions": [
                        {"errorType": "Even", "nextStepId": "d"},
                        {"errorType": "Odd", "nextStepId": "d"},
                    ]
                }
            },
        },
        {"stepId": "d"},
    )
    _, views = run_case({"definition": document(*steps), "input": {"n": 5}})
    done = ran(graph(*steps), views)
    assert done.statuses == {"a": "completed", "c": "failed", "d": "completed"}
    assert {(one.source, one.condition, one.error_type) for one in done.taken} == {
        ("a", "data.n > 1", None),
        ("c", None, "Odd"),
        ("d", None, None),
    }
    drawn = mermaid(graph(*steps), done.statuses, done.taken)
    assert '  s1 ==>|"data.n #62; 1"| s3' in drawn
    assert "  begin ==> s1" in drawn
    assert "  class s1,s4 completed" in drawn
    assert "  class s2 pending" in drawn


def test_a_step_that_goes_on_in_spite_of_its_failure_took_its_own_next() -> None:
    """``continue`` without a target goes through ``next``, so that edge was taken."""
    steps = (
        {"stepId": "a", "taskId": "core.fail", "onFailure": {"action": "continue"}},
        {"stepId": "b"},
    )
    _, views = run_case({"definition": document(*steps)})
    assert Edge(kind="sequence", source="a", target="b") in ran(graph(*steps), views).taken


def test_a_step_that_was_cancelled_went_nowhere() -> None:
    """The record has the way on of a task's step from its beginning; that is not a way taken."""
    slow = {"branchId": "slow", "steps": [{"stepId": "s", "taskId": "slow"}]}
    bad = {"branchId": "bad", "steps": [{"stepId": "f", "taskId": "core.fail"}]}
    steps = ({"stepId": "a", "parallelBranches": [slow, bad]},)
    _, views = run_case(
        {
            "definition": document(*steps),
            "tasks": {"slow": [{"after": "PT1H", "return": {}}]},
        }
    )
    done = ran(graph(*steps), views)
    assert done.statuses == {"a": "failed", "s": "cancelled", "f": "failed"}
    assert done.taken == frozenset()


def test_of_several_items_the_most_telling_one_is_shown() -> None:
    """A step in the branches of items has many records and one colour."""
    inner = {"stepId": "i", "taskId": "work"}
    each = {
        "stepId": "a",
        "forEach": {"items": [1, 2, 3], "toleratedFailures": 3},
        "parallelBranches": [{"branchId": "b", "steps": [inner]}],
    }
    answers = [{"return": {}}, {"throw": {"retryable": False}}, {"return": {}}]
    _, views = run_case({"definition": document(each), "tasks": {"work": answers}})
    assert ran(graph(each), views).statuses == {"a": "completed", "i": "failed"}


def test_the_text_picture() -> None:
    """Arrows, branches, handlers, statuses; the ways that were taken have double arrows."""
    branch = {"branchId": "b1", "steps": [{"stepId": "x", "taskId": "ship"}]}
    made = graph(
        {"stepId": "a", "name": "First", "parallelBranches": [branch]},
        {"stepId": "b", "next": [{"nextStepId": "a", "condition": "data.n"}, {"nextStepId": "c"}]},
        {"stepId": "c", "taskId": "core.fail"},
    )
    taken = frozenset({Edge(kind="sequence", source="a", target="b")})
    statuses = {"a": StepStatus.COMPLETED, "x": StepStatus.COMPLETED, "b": StepStatus.ACTIVE}
    assert as_text(made, statuses, taken).splitlines() == [
        "Drawn (drawn 1.0.0)",
        "",
        "✓ a  [completed]  First  (core.noop)",
        "    ├─ b1",
        "    │  ✓ x  [completed]  (ship)",
        "    │      → end of the branch",
        "    ┴ when all have ended",
        "⇓",
        "▸ b  [active]  (core.noop)",
        "    → a  if data.n",
        "    → c  otherwise",
        "",
        "· c  (core.fail)",
        "    ✗ fails",
    ]


@pytest.mark.parametrize(
    "text",
    ['"', "#35;", "<b>", "a & b", "`x`", "a\\n", "%%{", "$$", "www.a.org", "1. a", "- a", "[a](b)"],
)
def test_what_means_something_to_mermaid_is_escaped(text: str) -> None:
    """No special character stands in a label as itself, and reading the codes gives the text."""
    made = escaped(text)
    assert made != text
    assert re.sub(r"#(\d+);", lambda found: chr(int(found[1])), made) == text


LABEL = r'"(?:[^"#<>&`%\\|$]|[#]\d+;|<br/>)*"'
NODE = rf"[sj]\d+(?:\[{LABEL}\]|\[\[{LABEL}\]\]|\{{\{{{LABEL}\}}\}}|\(\[{LABEL}\]\)"
NODE += rf"|\({LABEL}\)|\[/{LABEL}/\]|\(\({LABEL}\)\))"
ENDS = r"(?:s\d+|j\d+|begin|finish|failure)"
LINE = re.compile(
    rf"""\ *(?:
        flowchart\ TD
        | (?:begin|finish|failure)\(\[{LABEL}\]\)
        | {NODE}
        | subgraph\ g\d+(?:b\d+)?\[{LABEL}\]
        | end
        | {ENDS}\ (?:-->|==>|-\.->)(?:\|{LABEL}\|)?\ {ENDS}
        | classDef\ [a-z]+\ [a-z0-9:\#,\ -]+
        | class\ s\d+(?:,s\d+)*\ [a-z]+
    )""",
    re.VERBOSE,
)


@given(definitions(), st.booleans())
def test_whatever_a_document_says_its_picture_is_well_formed(made: Definition, run: bool) -> None:
    """Each line is one of a few forms, subgraphs are closed, and every id that is used is made."""
    drawing = graph_of(made)
    nodes = list(every_node(drawing.nodes))
    statuses = {node.step_id: status for node, status in zip(nodes, StepStatus, strict=False)}
    taken = list(every_edge(drawing))[::2]
    lines = mermaid(drawing, statuses if run else None, taken if run else ()).splitlines()
    for line in lines:
        assert LINE.fullmatch(line), line
    depth = 0
    for line in lines:
        depth += line.lstrip().startswith("subgraph ") - (line.strip() == "end")
        assert depth >= 0
    assert depth == 0
    bare = [re.sub(LABEL, "", line).strip() for line in lines]
    known = {found[0] for one in bare if (found := re.match(r"\w+(?=[\[\({])", one))}
    used = {end for one in bare if ">" in one for end in re.findall(r"\b[a-z]+\d*\b", one)}
    assert used <= known
    assert len([one for one in bare if re.match(r"s\d+[\[\({]", one)]) == len(nodes)


@given(definitions(), st.integers(20, 120))
def test_the_text_picture_fits_and_obeys_nobody(made: Definition, width: int) -> None:
    """No line is too long, none has a character that a terminal obeys, each step has a line."""
    text = as_text(graph_of(made), width=width)
    assert all(len(line) <= width and line.isprintable() for line in text.split("\n"))
    assert text.count("• ") >= len(list(every_node(graph_of(made).nodes)))


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.json")), ids=lambda file: file.stem)
def test_the_examples_can_be_drawn(file: Path) -> None:
    """Every target of an edge is a node of the same list."""
    made = graph_of(Definition.model_validate(json.loads(file.read_text())))
    ids = {node.step_id for node in every_node(made.nodes)}
    assert {edge.target for edge in every_edge(made)} <= {*ids, None}
    assert Graph.model_validate(made.to_json()) == made
    assert mermaid(made).startswith("flowchart TD\n")
