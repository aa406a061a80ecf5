"""What the demo plays: four expenses, what people say to two of them, and how each has to end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from definitions.views import StepView
    from steploom.operations.executions import Snapshot

TASKS_MODULE = "steploom.demo.tasks"
DEFINITION = "expense-approval"
#: How often the gateway has to be tried; see ``tasks.reimburse``.
_PAID_AT_ATTEMPT = 2
#: How the record of a compensation is told from that of the step that it undoes.
_UNDOING = "@compensation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says when an expense waits."""

    decision: Literal["approved", "rejected"]
    approver: str
    comment: str
    payload: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """One expense. ``path`` has the steps of the main path as they have to be gone."""

    name: str
    story: str
    status: Literal["completed", "failed"]
    path: tuple[str, ...]
    outcome: str | None = None
    error: str | None = None
    undone: tuple[str, ...] = ()
    verdict: Verdict | None = None

    def read_input(self) -> dict[str, Any]:
        """The expense, from its file."""
        text = (files("steploom.demo") / "expenses" / f"{self.name}.json").read_text("utf-8")
        value: dict[str, Any] = json.loads(text)
        return value


_PAID = ("objection-time", "reimburse", "notify")

SCENES = (
    Scene(
        name="lunch",
        story="38.40, small enough to be approved without asking",
        status="completed",
        path=("check-receipt", "auto-approve", *_PAID),
        outcome="approved automatically",
    ),
    Scene(
        name="conference",
        story="1,846.20, so compliance looks at it and a manager has to approve",
        status="completed",
        path=(
            "check-receipt",
            "compliance",
            "reserve-budget",
            "manager-approval",
            "note-approval",
            *_PAID,
        ),
        outcome="approved",
        verdict=Verdict(
            "approved", "manager@example.com", "good talks this year", {"costCentre": "CC-410"}
        ),
    ),
    Scene(
        name="typing-error",
        story="its lines don't add up, so an error handler sends it back",
        status="completed",
        path=("check-receipt", "return-receipt", "note-return"),
        outcome="returned",
    ),
    Scene(
        name="espresso-machine",
        story="4,200.00, which the manager turns down: the run fails and is rolled back",
        status="failed",
        path=(
            "check-receipt",
            "compliance",
            "reserve-budget",
            "manager-approval",
            "tell-rejection",
            "turn-down",
        ),
        error="ExpenseRejected",
        undone=("reserve-budget",),
        verdict=Verdict("rejected", "manager@example.com", "we have one"),
    ),
)


def read_definition() -> bytes:
    """The definition's document, as it is in the package."""
    return (files("definitions") / "examples" / f"{DEFINITION}.json").read_bytes()


@dataclass(slots=True)
class _Check:
    """Collects what is not as it has to be."""

    scene: Scene
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(f"{self.scene.name}: {what} is {found!r}, not {wanted!r}")


def differences(scene: Scene, snapshot: Snapshot) -> list[str]:
    """What of a run's record is not as the scene says; an empty list when all is."""
    check, instance = _Check(scene), snapshot.instance
    undoing = {step.path for step in snapshot.steps if step.path.endswith(_UNDOING)}
    main = [step for step in snapshot.steps if "/" not in step.path and step.path not in undoing]
    check.same("the status", str(instance.status), scene.status)
    check.same("the path", tuple(step.path for step in main), scene.path)
    output = instance.output if isinstance(instance.output, dict) else {}
    check.same("the outcome", output.get("outcome"), scene.outcome)
    check.same("the error", (instance.error or {}).get("type"), scene.error)
    undone = tuple(step.path for step in snapshot.steps if step.compensated)
    check.same("what was undone", undone, scene.undone)
    check.same("the compensations", undoing, {path + _UNDOING for path in scene.undone})
    for step in main:
        if step.path == "reimburse":
            _check_reimbursement(check, step)
        if step.path == "manager-approval" and scene.verdict is not None:
            votes = [(vote.decision, vote.approver) for vote in step.votes]
            check.same("the vote", votes, [(scene.verdict.decision, scene.verdict.approver)])
        if step.path == "compliance":
            branches = {one.path for one in snapshot.steps if one.path.startswith("compliance/")}
            wanted = {"compliance/policy/check-policy", "compliance/risk/score-risk"}
            check.same("the branches", branches, wanted)
    return check.wrong


def _check_reimbursement(check: _Check, step: StepView) -> None:
    attempts = [(str(one.status), one.error.code if one.error else None)
                for one in step.attempt_records]  # fmt: skip
    check.same("the attempts to pay", attempts, [("failed", "502"), ("completed", None)])
    check.same("the number of attempts", step.attempts, _PAID_AT_ATTEMPT)
