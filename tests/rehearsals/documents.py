"""Strategies that make random cases: small definitions with random tasks, people and operators.

Every definition has a run timeout, so whatever hangs or is never decided still ends.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DrawFn, SearchStrategy

Object = dict[str, Any]
_EXAMPLES = "STEPLOOM_EXAMPLES"
MAX_DEPTH = 2


def examples(number: int) -> settings:
    """How a property is tested: with so many cases, or with ``STEPLOOM_EXAMPLES`` many.

    The same ones every time, so that CI is not a matter of luck. With the variable they are others
    each time; hypothesis prints how to run a failing one again.
    """
    wanted = os.environ.get(_EXAMPLES)
    return settings(
        max_examples=int(wanted) if wanted else number,
        derandomize=wanted is None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


_SECONDS = st.integers(min_value=0, max_value=4)
_DURATIONS = _SECONDS.map(lambda seconds: f"PT{seconds}S")
_LIMITS = st.integers(min_value=1, max_value=6).map(lambda seconds: f"PT{seconds}S")
_ERRORS = st.sampled_from(["First", "Second"])
_EVENTS = st.sampled_from(["one", "two"])
_APPROVERS = st.sampled_from(["ann", "bob"])
_POLICIES: SearchStrategy[Object] = st.fixed_dictionaries(
    {"maxAttempts": st.integers(min_value=1, max_value=3), "delay": _DURATIONS},
    optional={
        "strategy": st.just("fixed"),
        "nonRetryableErrors": st.just(["Second"]),
        "backoffRate": st.sampled_from([1.0, 3.0]),
        "maxDelay": st.just("PT3S"),
    },
)


def _answers(*, hang: bool = True) -> SearchStrategy[list[Object]]:
    thrown = st.fixed_dictionaries({"throw": st.fixed_dictionaries({"errorType": _ERRORS})})
    returned = st.fixed_dictionaries(
        {"return": st.one_of(st.fixed_dictionaries({"n": _SECONDS}), _SECONDS, st.none())}
    )
    timely = st.builds(
        lambda answer, after: {**answer, "after": after},
        st.one_of(returned, returned, returned, thrown, st.just({"echo": True})),
        _DURATIONS,
    )
    answers = st.lists(timely, min_size=1, max_size=3)
    hanging = answers.map(lambda some: [*some[:-1], {"hang": True}])
    return st.one_of(answers, answers, answers, answers, answers, hanging) if hang else answers


class _Writer:
    """Writes one case; counts its steps, so that every one has an id of its own."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw
        self.ids: list[str] = []
        self.approvals: list[str] = []
        self.tasks: dict[str, list[Object]] = {}

    def one_in(self, number: int) -> bool:
        """True now and then."""
        return self.draw(st.integers(min_value=1, max_value=number)) == number

    def steps(self, depth: int) -> list[Object]:
        """A list of steps, some with a way on or back."""
        least, most = (1, 3) if depth else (3, 6)
        count = self.draw(st.integers(min_value=least, max_value=most))
        steps = [self.step(depth) for _ in range(count)]
        ids = [step["stepId"] for step in steps]
        for index, step in enumerate(steps):
            self.failure(step, ids)
            later = ids[index + 1 :]
            if later and self.one_in(2):
                condition = self.draw(
                    st.sampled_from(["variables.c > 1", "variables.v == 'x'", "data.n > 1"])
                )
                target = self.draw(st.sampled_from(later))
                step["next"] = [
                    {"nextStepId": target, "condition": condition},
                    {"nextStepId": later[0]},
                ]
            elif later and "c" in step.get("input", {}) and "forEach" not in step:
                back = {"nextStepId": ids[0], "condition": "variables.c < 3"}
                step["next"] = [back, {"nextStepId": later[0]}]
        return steps

    def step(self, depth: int) -> Object:
        """A step of some kind."""
        kinds: list[Callable[[str, int], Object]] = [
            self.task, self.task, self.child, self.inline, self.inline, self.approval, self.event,
            self.each,
        ]  # fmt: skip
        if depth < MAX_DEPTH:
            kinds = [self.fork, self.fork, self.fork, *kinds]
        name = f"s{len(self.ids)}"
        self.ids.append(name)
        return self.draw(st.sampled_from(kinds))(name, depth)

    def task(self, name: str, depth: int) -> Object:
        """A mocked task with limits of its own."""
        self.tasks[f"do.{name}"] = self.draw(_answers())
        step: Object = {"stepId": name, "taskId": f"do.{name}"}
        if self.one_in(2):
            step["retryPolicy"] = self.draw(_POLICIES)
        for limit in ("timeout", "attemptTimeout"):
            if self.one_in(4):
                step[limit] = self.draw(_LIMITS)
        if self.one_in(8):
            step["heartbeatTimeout"] = self.draw(_LIMITS)
        if self.one_in(3):
            step["compensation"] = {"taskId": f"undo.{name}"}
            # No timeout bounds a rollback, so what hung in one would hang for ever.
            self.tasks[f"undo.{name}"] = self.draw(_answers(hang=False))
        return step

    def child(self, name: str, depth: int) -> Object:
        """A child run, which is mocked like a task."""
        self.tasks[name] = self.draw(_answers())
        step: Object = {"stepId": name, "taskId": "core.workflow", "input": {"workflowId": "other"}}
        if self.one_in(2):
            step["retryPolicy"] = self.draw(_POLICIES)
        if self.one_in(3):
            step["timeout"] = self.draw(_LIMITS)
        return step

    def event(self, name: str, depth: int) -> Object:
        """A wait for one of two events."""
        step: Object = {"stepId": name, "taskId": "core.event"}
        step["input"] = {"name": self.draw(_EVENTS)}
        step["timeout"] = f"PT{self.draw(st.integers(min_value=5, max_value=15))}S"
        return step

    def inline(self, name: str, depth: int) -> Object:
        """A step that the interpreter does by itself."""
        task, given = self.draw(
            st.one_of(
                st.just(("core.noop", None)),
                st.just(("core.publish", {"type": "it.happened"})),
                st.tuples(st.just("core.wait"), st.fixed_dictionaries({"duration": _DURATIONS})),
                st.tuples(st.just("core.fail"), st.fixed_dictionaries({"errorType": _ERRORS})),
                st.sampled_from([{"v": "x"}, {"v": name}, {"c": "${variables.c + 1}"}]).map(
                    lambda value: ("core.set", value)
                ),
            )
        )
        step = {"stepId": name, "taskId": task, **({} if given is None else {"input": given})}
        if task == "core.fail" and self.one_in(2):
            step["retryPolicy"] = self.draw(_POLICIES)
        return step

    def approval(self, name: str, depth: int) -> Object:
        """An approval by one or two people."""
        self.approvals.append(name)
        given = {
            "approvalsRequired": self.draw(st.integers(min_value=1, max_value=2)),
            "onRejected": self.draw(st.sampled_from(["fail", "continue"])),
        }
        step: Object = {"stepId": name, "taskId": "core.approval", "input": given}
        step["timeout"] = f"PT{self.draw(st.integers(min_value=5, max_value=15))}S"
        return step

    def each(self, name: str, depth: int) -> Object:
        """A step that runs for each of some items, perhaps with branches."""
        kinds = [self.task, self.inline, self.event]
        step: Object = self.draw(st.sampled_from(kinds))(name, depth)
        items = list(range(self.draw(st.integers(min_value=0, max_value=3))))
        step["forEach"] = {
            "items": items,
            "maxConcurrency": self.draw(st.integers(min_value=1, max_value=3)),
            "toleratedFailures": self.draw(st.integers(min_value=0, max_value=2)),
        }
        if depth < MAX_DEPTH and self.one_in(2):
            self.branches(step, depth, 1)
        return step

    def fork(self, name: str, depth: int) -> Object:
        """A step with branches."""
        step: Object = self.draw(st.sampled_from([self.task, self.inline]))(name, depth)
        self.branches(step, depth, 2)
        if self.one_in(4):
            step["timeout"] = self.draw(_LIMITS)
        return step

    def branches(self, step: Object, depth: int, most: int) -> None:
        """Gives a step branches."""
        step["parallelBranches"] = [
            {"branchId": f"b{index}", "steps": self.steps(depth + 1)}
            for index in range(self.draw(st.integers(min_value=1, max_value=most)))
        ]

    def failure(self, step: Object, ids: list[str]) -> None:
        """Gives a step an ``onFailure``, now and then."""
        what = self.draw(st.integers(min_value=0, max_value=5))
        later = ids[ids.index(step["stepId"]) + 1 :]
        if what > 2:
            # Often enough that most runs come further than to their first failure.
            step["onFailure"] = {"action": "continue"}
        elif what == 2 and later:
            condition = {"errorType": self.draw(_ERRORS), "nextStepId": later[-1]}
            step["onFailure"] = {"errorHandler": {"conditions": [condition]}}

    def actions(self) -> list[Object]:
        """What people and operators do meanwhile."""
        actions: list[Object] = []
        for name in self.approvals:
            for _ in range(self.draw(st.integers(min_value=0, max_value=2))):
                kind = self.draw(st.sampled_from(["approve", "approve", "reject"]))
                vote = {"stepId": name, "approver": self.draw(_APPROVERS)}
                actions.append({"at": f"PT{self.draw(_SECONDS) * 2}S", kind: vote})
        for _ in range(self.draw(st.integers(min_value=0, max_value=4))):
            event: Object = {"name": self.draw(_EVENTS)}
            event["data"] = self.draw(st.one_of(st.just({"n": 5}), _SECONDS))
            actions.append({"at": f"PT{self.draw(_SECONDS) * 2}S", "event": event})
        for _ in range(self.draw(st.integers(min_value=0, max_value=2))):
            skipped = {"stepId": self.draw(st.sampled_from(self.ids))}
            actions.append({"at": f"PT{self.draw(_SECONDS)}S", "skip": skipped})
        if self.one_in(4):
            at = self.draw(_SECONDS)
            actions.append({"at": f"PT{at}S", "pause": {}})
            actions.append({"at": f"PT{at + self.draw(_SECONDS)}S", "resume": {}})
        if self.one_in(6):
            actions.append({"at": f"PT{self.draw(_SECONDS) * 3}S", "cancel": {}})
        return actions


@st.composite
def cases(draw: DrawFn) -> Object:
    """A case as its JSON value, without expectations."""
    writer = _Writer(draw)
    definition: Object = {
        "workflowId": "random",
        "name": "Random",
        "version": "1.0.0",
        "variables": {"c": 0, "v": ""},
        "timeout": "PT60S",
        "steps": writer.steps(0),
        "rollback": {
            "on": draw(st.sampled_from([["failed"], ["failed", "cancelled"]])),
            "order": draw(st.sampled_from(["reverse", "parallel"])),
        },
    }
    if writer.one_in(4):
        last = definition["steps"][-1]["stepId"]
        definition["onFailure"] = {"action": "continue", "nextStepId": last}
    return {
        "name": "random",
        "definition": definition,
        "input": {"n": draw(_SECONDS)},
        "tasks": writer.tasks,
        "actions": writer.actions(),
    }
