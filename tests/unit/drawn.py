"""Strategies that make definitions for drawings: any shape, and texts that want to break out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from definitions.document import Definition

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

_NASTY = st.sampled_from(
    ['"]', "<br/>", "%%{init: {}}%%", "end", "`x`", "#35;", "&lt;", "| s1", "\n  s1 --> s2", "--> ",
     "\x1b[31m", "\u202e", "1. one", "- one", "[a](b)", "$$x$$", "subgraph x", "www.example.org"]
)  # fmt: skip
_TEXTS = st.lists(
    st.one_of(_NASTY, st.text(st.characters(exclude_categories=["Cs"]), max_size=12)),
    min_size=1,
    max_size=4,
).map(lambda parts: "".join(parts) or "x")
_TASKS = st.one_of(
    st.sampled_from(["core.noop", "core.approval", "core.wait", "core.fail", "core.http"]), _TEXTS
)
_IDS = st.sampled_from(["end", "o", "x", "s1", "graph", "a-b", "a_b", "subgraph", "_", "-"])


@st.composite
def definitions(draw: DrawFn) -> Definition:  # noqa: C901 (a list of independent choices)
    """A definition whose targets exist; its expressions are never evaluated."""
    used: set[str] = set()

    def new_id() -> str:
        name = draw(_IDS)
        while name in used:
            name += draw(st.sampled_from(["-", "_", "1"]))
        used.add(name)
        return name

    def failure(ids: list[str]) -> dict[str, Any]:
        conditions = draw(
            st.lists(
                st.fixed_dictionaries(
                    {"nextStepId": st.sampled_from(ids)},
                    optional={"errorType": _TEXTS, "errorCode": _TEXTS},
                ),
                max_size=2,
            )
        )
        action = draw(st.sampled_from(["stop", "continue"]))
        onward = {"nextStepId": draw(st.sampled_from(ids))} if draw(st.booleans()) else {}
        return {"action": action, "errorHandler": {"conditions": conditions}, **onward}

    def steps(depth: int) -> list[dict[str, Any]]:
        ids = [new_id() for _ in range(draw(st.integers(1, 4)))]
        return [step(name, ids, depth) for name in ids]

    def step(name: str, ids: list[str], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"stepId": name, "taskId": draw(_TASKS)}
        if draw(st.booleans()):
            made["name"] = draw(_TEXTS)
        if draw(st.booleans()):
            entry = st.fixed_dictionaries(
                {"nextStepId": st.sampled_from(ids)}, optional={"condition": _TEXTS}
            )
            made["next"] = draw(st.lists(entry, max_size=3))
        if draw(st.booleans()):
            made["onFailure"] = failure(ids)
        if draw(st.booleans()):
            made["forEach"] = {"items": []}
        if draw(st.booleans()):
            made["compensation"] = {"taskId": draw(_TEXTS)}
        if depth < 2 and draw(st.integers(0, 2)) == 0:
            names = draw(st.lists(_IDS, min_size=1, max_size=2, unique=True))
            made["parallelBranches"] = [
                {"branchId": one, "steps": steps(depth + 1)} for one in names
            ]
        return made

    document: dict[str, Any] = {
        "workflowId": "drawn",
        "name": draw(_TEXTS),
        "version": "1.0.0",
        "steps": steps(0),
    }
    if draw(st.booleans()):
        document["onFailure"] = failure([one["stepId"] for one in document["steps"]])
    return Definition.model_validate(document)
