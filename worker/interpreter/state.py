"""The whole state of a run, as one serialisable object.

Continue-as-new, queries and rehearsal all use it. A coroutine of the interpreter writes every fact
that it needs after an await into the state before that await, so a run can be taken up again from
its JSON at any moment in which no task is under way.

Dataclasses rather than pydantic models because the interpreter mutates them on its hot path;
pydantic still reads and writes them (``dump_state``, ``load_state``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import TypeAdapter

from definitions.jsontypes import Json, JsonObject
from definitions.records import RunRef
from definitions.requirements import StepRequirements
from definitions.statuses import InstanceStatus, StepStatus

#: The version of the interpreter's own behaviour. It is recorded with every run.
INTERPRETER_VERSION = 1


@dataclass(slots=True)
class Unit:
    """One run of a step's task and branches: the step itself, or one item of its ``forEach``.

    ``turn`` is the sequence number of the operation under way. ``skipped``: an operator has said
    so, and the coroutine has not come to it yet. The fields from ``tries`` on, but for the
    branches, belong to the tasks that the interpreter does by itself: ``tries`` counts the failed
    ones, ``retry_at`` and ``due`` are the ends of waits under way, ``event`` has the ``data`` of
    the one that came.
    """

    path: str
    index: int | None = None
    item: Json = None
    phase: Literal["task", "branches", "done"] = "task"
    started_at: datetime | None = None
    input: Json = None
    input_ready: bool = False
    output: Json = None
    turn: int = 0
    skipped: bool = False
    tries: int = 0
    retry_at: datetime | None = None
    due: datetime | None = None
    waiting_for: JsonObject | None = None
    votes: list[JsonObject] = field(default_factory=list)
    verdict: Literal["approved", "rejected"] | None = None
    event: JsonObject | None = None
    branches: list[Frame] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether its task can still be given something: it has not ended, nor is it skipped."""
        return self.phase == "task" and not self.skipped


@dataclass(slots=True)
class ActiveStep:
    """The step at which a frame stands.

    ``turn`` is the sequence number of the wait for ``deadline``. ``results`` and ``failures`` are
    those of a ``forEach``; ``joined`` has the steps of its items' branches, which nobody sees
    before the step ends.
    """

    step_id: str
    path: str
    iteration: int
    started_at: datetime
    deadline: datetime | None = None
    turn: int = 0
    units: list[Unit] = field(default_factory=list)
    items: list[Json] | None = None
    next_item: int = 0
    results: list[Json] = field(default_factory=list)
    failures: list[JsonObject] = field(default_factory=list)
    joined: dict[str, JsonObject] = field(default_factory=dict)
    reported: bool = False


@dataclass(slots=True)
class Frame:
    """A walk through one list of steps: the main path, or a branch.

    ``prefix`` comes before the ids of its steps in their paths, ``steps`` holds what expressions
    see under that name, ``result`` is the stored output of the step that ended last. ``turn`` is
    the sequence number of its wait to enter a step, while it does.
    """

    prefix: str
    position: str | None
    # An object. ``Any`` to pydantic, so that one that branches share is one after loading too.
    data: Json
    steps: dict[str, JsonObject] = field(default_factory=dict)
    active: ActiveStep | None = None
    turn: int = 0
    result: Json = field(default_factory=dict)
    ended: bool = False


@dataclass(slots=True)
class Completed:
    """A completed step that has a compensation.

    ``unit`` is the one of the compensation once that has begun, ``turn`` the sequence number of its
    wait to begin, and then of the wait for its deadline.
    """

    step_id: str
    path: str
    iteration: int
    output: Json
    compensated: bool | None = None
    turn: int = 0
    unit: Unit | None = None


@dataclass(slots=True)
class RunState:
    """A run. ``config`` is the configuration that it is pinned to.

    ``requirements`` is what operators have said of the fields of its steps, by their ids.
    ``stage`` is ``main`` until its result is known, then ``rollback``, then ``done``. ``actions``
    counts what was done to it from outside. ``last_published`` is the sequence number of the last
    event that a step has published. ``events`` keeps the data of those that nobody has waited for
    yet, by their names; ``events_kept`` and ``event_bytes`` are their number and their size,
    ``event_ids`` has the ids of the latest ones. ``deadline_turn`` is the sequence number of the
    wait for ``deadline``.
    """

    org_id: UUID
    instance_id: UUID
    execution_id: str
    first_run_id: str
    workflow_id: str
    version: str
    started_at: datetime
    input: JsonObject
    variables: JsonObject
    main: Frame
    correlation_id: str | None = None
    log_level: Literal["debug", "info", "error"] | None = None
    config: JsonObject = field(default_factory=dict)
    requirements: dict[str, StepRequirements] = field(default_factory=dict)
    deadline: datetime | None = None
    deadline_turn: int = 0
    interpreter_version: int = INTERPRETER_VERSION
    stage: Literal["main", "rollback", "done"] = "main"
    status: InstanceStatus = InstanceStatus.RUNNING
    paused: bool = False
    cancelling: bool = False
    seq: int = 0
    actions: int = 0
    last_published: int | None = None
    iterations: dict[str, int] = field(default_factory=dict)
    error: JsonObject | None = None
    handled_globally: bool = False
    completed: list[Completed] = field(default_factory=list)
    deciding_votes: list[JsonObject] = field(default_factory=list)
    events: dict[str, list[Json]] = field(default_factory=dict)
    events_kept: int = 0
    event_bytes: int = 0
    event_ids: list[str] = field(default_factory=list)
    output: Json = None
    failure: JsonObject | None = None
    ended_at: datetime | None = None
    current_step_id: str | None = None
    current_position: int | None = None

    @property
    def ref(self) -> RunRef:
        """Which run its records belong to."""
        return RunRef(
            org_id=self.org_id,
            instance_id=self.instance_id,
            execution_id=self.execution_id,
            first_run_id=self.first_run_id,
            workflow_id=self.workflow_id,
            version=self.version,
            log_level=self.log_level,
        )

    def next_seq(self) -> int:
        """The next number in the order of everything that this run does."""
        self.seq += 1
        return self.seq


def under_way(frame: Frame) -> Iterator[tuple[ActiveStep, Unit]]:
    """Everything that a frame stands at, what runs in branches included, outermost first."""
    active = frame.active
    if active is None:
        return
    for unit in active.units:
        yield active, unit
        for branch in unit.branches:
            yield from under_way(branch)


_ADAPTER = TypeAdapter(RunState)


def dump_state(state: RunState) -> dict[str, Any]:
    """The state as JSON values."""
    dumped: dict[str, Any] = _ADAPTER.dump_python(state, mode="json")
    return dumped


def load_state(value: dict[str, Any]) -> RunState:
    """The state from what ``dump_state`` gave."""
    return _ADAPTER.validate_python(value)


def state_text(state: RunState, *, seq: int) -> str:
    """The state as JSON text, as if its order of things were at ``seq``."""
    kept, state.seq = state.seq, seq
    try:
        return _ADAPTER.dump_json(state).decode()
    finally:
        state.seq = kept


def read_state(text: str) -> RunState:
    """The state from what ``state_text`` gave."""
    return _ADAPTER.validate_json(text)


def step_view(
    status: StepStatus,
    *,
    started_at: datetime,
    completed_at: datetime | None = None,
    output: Json = None,
    error: JsonObject | None = None,
    errors: list[JsonObject] | None = None,
) -> JsonObject:
    """A step as expressions and ``workflow_instances.state`` show it."""
    view: JsonObject = {"status": str(status), "startedAt": timestamp(started_at)}
    if completed_at is not None:
        view["completedAt"] = timestamp(completed_at)
    if output is not None:
        view["output"] = output
    if error is not None:
        view["error"] = error
    if errors is not None:
        view["errors"] = errors
    return view


def timestamp(moment: datetime) -> str:
    """A moment as RFC 3339 text in UTC."""
    return moment.isoformat().replace("+00:00", "Z")
