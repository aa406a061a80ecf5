"""The state as it travels: what stands twice is written once, and comes back as one object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.interpreter.packing import pack_state, packed_size, unpack_state
from worker.interpreter.state import Frame, RunState, dump_state

LONG = "x" * 500
ODD_NAMES = ["$same", "of", "a/b", "~", "~1", "", "0", "plain"]


def _state(data: dict[str, Any], steps: dict[str, Any]) -> RunState:
    return RunState(
        org_id=UUID(int=1),
        instance_id=UUID(int=2),
        execution_id="e",
        first_run_id="r",
        workflow_id="w",
        version="1.0.0",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        input={},
        variables={},
        main=Frame(prefix="", position="s", data=data, steps=steps),
    )


def test_a_value_in_two_places_is_written_once() -> None:
    """An output that was merged into ``data`` has its bytes there once, and is one object after."""
    text = {"text": LONG}
    state = _state({"doc": text}, {"s": {"status": "completed", "output": {"doc": text}}})
    packed = pack_state(state)
    assert json.dumps(packed).count(LONG) == 1
    assert packed_size(state) == len(json.dumps(packed, separators=(",", ":")))
    again = unpack_state(json.loads(json.dumps(packed)))
    assert again == state
    assert again.main.data["doc"] is again.main.steps["s"]["output"]["doc"]
    assert pack_state(again) == packed


def test_equal_values_are_not_the_same() -> None:
    """1, 1.0 and true are equal to Python, and three values in JSON."""
    state = _state({"n": [1] * 50, "x": [1.0] * 50, "yes": [True] * 50}, {})
    again = unpack_state(json.loads(json.dumps(pack_state(state))))
    assert json.dumps(dump_state(again)) == json.dumps(dump_state(state))


@pytest.mark.parametrize(
    "data",
    [
        {"$same": LONG},
        {"$same": None, "of": {"$same": "/main"}},
        {"a": {"$same": None}, "b": {"$same": "/main/data/a"}},
    ],
)
def test_a_run_may_use_the_mark_itself(data: dict[str, Any]) -> None:
    """What looks like a pointer in a run's own values stays what it is."""
    state = _state(data, {"s": {"output": {"twice": data}}})
    assert unpack_state(json.loads(json.dumps(pack_state(state)))) == state


@pytest.mark.parametrize(
    "mark",
    [
        {"$same": "/main/nowhere"},
        {"$same": "/main/data/x"},
        {"$same": 7},
        {"$same": None, "of": 7},
        {"$same": None},
        {"$same": "/main/data/list/9"},
    ],
)
def test_what_leads_nowhere_is_refused(mark: Any) -> None:
    """A state can come from anybody who starts a workflow: it is refused, and stops nothing."""
    packed = pack_state(_state({"list": [1]}, {}))
    packed["main"]["data"]["x"] = mark
    with pytest.raises(ValueError, match=r"same|stands"):
        unpack_state(packed)


_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_leaves = _leaves | st.sampled_from([LONG, LONG + "y"])
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(ODD_NAMES), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(pool=st.lists(_values, min_size=1, max_size=5), picks=st.lists(st.integers(0, 99)))
def test_any_state_comes_back(pool: list[Any], picks: list[int]) -> None:
    """Whatever is shared by whom: the same JSON afterwards, and as small as before."""
    chosen = {f"k{i}": pool[pick % len(pool)] for i, pick in enumerate(picks)}
    state = _state(dict(chosen), {"s": {"output": chosen, "again": [chosen, pool]}})
    packed = pack_state(state)
    again = unpack_state(json.loads(json.dumps(packed)))
    assert json.dumps(dump_state(again)) == json.dumps(dump_state(state))
    assert packed_size(again) <= packed_size(state)
