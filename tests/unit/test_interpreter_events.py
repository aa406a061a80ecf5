"""What happens to a run twice in one instant: an event, a decision or a skip after another."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from definitions.errors import RefusedError
from definitions.identity import instance_id, org_id
from definitions.records import ActionRecord, PublishedRecord
from worker.interpreter.begin import new_state
from worker.interpreter.events import MAX_IDS, MAX_KEPT, EventMessage
from worker.interpreter.operators import SkipRequest
from worker.interpreter.people import DecisionRequest
from worker.interpreter.plan import make_plan
from worker.rehearsal.host import START, RehearsalHost, Restart

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.interpreter.interpreter import Interpreter


def hosted(*steps: dict[str, Any], mode: Restart = Restart.NEVER, **more: Any) -> RehearsalHost:
    """A run of these steps that has not begun."""
    document = {"workflowId": "w", "name": "W", "version": "1.0.0", "steps": list(steps), **more}
    plan = make_plan(document, {})
    state = new_state(
        plan,
        org_id=org_id("default"),
        instance_id=instance_id("f"),
        execution_id="e",
        first_run_id="f",
        started_at=START,
        input={},
    )
    return RehearsalHost(plan, state, {}, mode)


def at(host: RehearsalHost, seconds: float, *acts: Callable[[Interpreter], object]) -> None:
    """Does several things in one instant, with nothing in between."""

    def act() -> None:
        for one in acts:
            one(host.interpreter)

    host.from_outside(timedelta(seconds=seconds), act)


def send(name: str, data: Any = None, **more: Any) -> Callable[[Interpreter], object]:
    """An event."""
    return lambda run: run.receive(EventMessage(name=name, data=data, **more))


def skip(name: str) -> Callable[[Interpreter], object]:
    """A skip."""
    return lambda run: run.skip(SkipRequest(step_id=name))


def refused(act: Callable[[Interpreter], object], why: str) -> Callable[[Interpreter], object]:
    """The same, which must be refused."""

    def asked(run: Interpreter) -> None:
        with pytest.raises(RefusedError, match=why):
            act(run)

    return asked


def decide(name: str) -> Callable[[Interpreter], object]:
    """A decision."""
    vote = DecisionRequest(step_id=name, decision="approved", approver="ann")
    return lambda run: run.decide(vote)


def event(step_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A step that waits for an event."""
    return {"stepId": step_id, "taskId": "core.event", "input": {"name": name}, **more}


MODES = pytest.mark.parametrize("mode", [Restart.NEVER, Restart.EVERY_STEP, Restart.DRAINED])


@MODES
def test_an_event_after_a_skip_goes_to_the_next_step(mode: Restart) -> None:
    """The skipped step does not take it with it."""
    host = hosted(event("a", "n"), event("b", "n"), mode=mode)
    at(host, 5, skip("a"), send("n", {"n": 1}))
    ended = host.run()
    assert ended.main.steps["a"]["status"] == "skipped"
    assert ended.main.steps["b"]["output"] == {"n": 1}


@MODES
def test_a_skip_after_the_event_comes_too_late(mode: Restart) -> None:
    """The step has what it waited for, so it ends well."""
    host = hosted(event("a", "n"), event("b", "n"), mode=mode)
    at(host, 5, send("n", {"n": 1}), refused(skip("a"), "has what it waited for"))
    at(host, 6, send("n", {"n": 2}))
    ended = host.run()
    assert ended.main.steps["a"]["output"] == {"n": 1}
    assert ended.main.steps["b"]["output"] == {"n": 2}


@MODES
def test_a_decision_and_a_skip_exclude_each_other(mode: Restart) -> None:
    """Nobody is told that something was taken which then does not count."""
    first = {"stepId": "a", "taskId": "core.approval"}
    second = {"stepId": "b", "taskId": "core.approval"}
    host = hosted(first, second, mode=mode)
    at(host, 5, skip("a"), refused(decide("a"), "does not wait"), refused(skip("a"), "already"))
    at(host, 6, decide("b"), refused(skip("b"), "has what it waited for"))
    ended = host.run()
    assert [ended.main.steps[name]["status"] for name in "ab"] == ["skipped", "completed"]


def _fork(*inner: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    branches = [{"branchId": f"b{n}", "steps": steps} for n, steps in enumerate(inner)]
    return {"stepId": "p", "taskId": "core.noop", "parallelBranches": branches, **more}


@MODES
def test_a_step_that_is_told_to_stop_gives_the_event_back(mode: Restart) -> None:
    """It was told so before it could take it; so were all others that wait for that name."""
    host = hosted(_fork([event("a", "n")], [event("b", "n")]), mode=mode)
    at(host, 5, lambda run: run.cancel(), send("n", {"n": 1}))
    ended = host.run()
    assert [ended.main.steps[name]["status"] for name in "ab"] == ["cancelled", "cancelled"]
    assert ended.events == {"n": [{"n": 1}]}
    assert ended.events_kept == 1


@MODES
def test_what_came_early_is_bounded_and_counted(mode: Restart) -> None:
    """The number and the size go up and down; ids are remembered for a while."""
    host = hosted({"stepId": "w", "taskId": "core.wait", "input": {"duration": "PT10S"}},
                  event("a", "n0"), event("b", "n1"), mode=mode)  # fmt: skip
    seen: list[Any] = []

    def flood(run: Interpreter) -> None:
        for number in range(MAX_KEPT):
            message = EventMessage(name=f"n{number}", data="xy", id=str(number))
            assert run.receive(message) == "kept"
        assert run.receive(EventMessage(name="n", id="late")) == "refused"
        assert run.receive(EventMessage(name="n", id=str(MAX_KEPT - 1))) == "repeated"
        assert len(run.state.event_ids) == MAX_IDS
        seen.append((run.state.events_kept, run.state.event_bytes))

    at(host, 5, flood)
    ended = host.run()
    assert seen == [(MAX_KEPT, 4 * MAX_KEPT)]
    assert (ended.events_kept, ended.event_bytes) == (MAX_KEPT - 2, 4 * (MAX_KEPT - 2))
    actions = [one for one in host.journal.records if isinstance(one, ActionRecord)]
    assert len(actions) == MAX_KEPT + 1
    assert len({one.event_id for one in actions}) == len(actions)


@MODES
def test_published_events_have_ids_of_their_own_that_never_change(mode: Restart) -> None:
    """In loops, items and branches; however often the run was taken up again."""
    publish = {"taskId": "core.publish", "input": {"type": "t"}}
    loop: list[dict[str, Any]] = [
        {"stepId": "x", **publish},
        {"stepId": "c", "taskId": "core.set", "input": {"n": "${variables.n + 1}"},
         "next": [{"nextStepId": "x", "condition": "variables.n < 3"}, {"nextStepId": "y"}]},
        {"stepId": "y", **publish, "forEach": {"items": [1, 2]}},
    ]  # fmt: skip
    each = {**_fork([{"stepId": "i", **publish}]), "stepId": "q", "forEach": {"items": [1, 2]}}

    def ids(mode: Restart) -> list[tuple[str, int, str]]:
        host = hosted(_fork(loop), each, mode=mode, variables={"n": 0})
        host.run()
        found = [one for one in host.journal.records if isinstance(one, PublishedRecord)]
        assert all(one.envelope["id"] == str(one.event_id) for one in found)
        return sorted((one.path, one.iteration, str(one.event_id)) for one in found)

    found = ids(mode)
    assert [(path, iteration) for path, iteration, _ in found] == [
        ("p/b0/x", 1), ("p/b0/x", 2), ("p/b0/x", 3), ("p/b0/y#0", 1), ("p/b0/y#1", 1),
        ("q/b0#0/i", 1), ("q/b0#1/i", 1),
    ]  # fmt: skip
    assert len({identity for _, _, identity in found}) == len(found)
    assert found == ids(Restart.NEVER)
