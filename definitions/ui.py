"""Which of a definition's ``uiComponents`` to show for a run, to a user, at a moment.

Pure: the run's values go in, the components come out, lowest ``priority`` first and in the order of
the document where it is the same. A component without a condition is always shown; one whose
condition errs is hidden, and a warning says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from definitions.cel import compile_expression
from definitions.cost import MAX_MAPPING_COST
from definitions.expressions import UI_NAMES, EvaluationError, ExpressionSyntaxError
from definitions.statuses import InstanceStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from definitions.document import UiComponent
    from definitions.jsontypes import Json, JsonObject

_Name = Annotated[str, Field(min_length=1, max_length=255)]
_Names = Annotated[list[_Name], Field(max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    def to_json(self) -> dict[str, Any]:
        """The part as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class UiUser(_Part):
    """Who looks: ``user`` in the conditions. It is what the caller says it is."""

    id: _Name | None = None
    roles: _Names = Field(default_factory=list)
    permissions: _Names = Field(default_factory=list)


class UiRequest(_Part):
    """The argument of the query ``ui``."""

    user: UiUser = Field(default_factory=UiUser)


class ShownComponent(_Part):
    """A component to show. ``context`` is the document's, as it stands there."""

    component_id: str
    priority: float = 0
    context: dict[str, Any] = Field(default_factory=dict)


class UiWarning(_Part):
    """A component that is hidden because its condition gave no answer."""

    component_id: str
    condition: str
    message: str


class UiAnswer(_Part):
    """What to show. ``status`` is ``pending`` before the run has found its definition."""

    execution_id: str
    status: str
    progress: float = 0.0
    components: Sequence[ShownComponent] = Field(default_factory=list)
    warnings: Sequence[UiWarning] = Field(default_factory=list)


def progress_of(step_ids: Sequence[str], ended: Collection[str], status: str) -> float:
    """How much of a run is done, from 0 to 1.

    Args:
        step_ids: The steps of the main path.
        ended: The steps that have ended.
        status: The run's. A completed one is done, whichever steps it did not need.
    """
    if status == InstanceStatus.COMPLETED:
        return 1.0
    return sum(1 for step_id in step_ids if step_id in ended) / max(1, len(step_ids))


def current_step(step_id: str, ended: JsonObject | None) -> JsonObject:
    """``currentStep`` for a step that nothing is under way in; ``ended``: how it has ended."""
    status = ended.get("status") if ended is not None else StepStatus.ACTIVE
    return {
        "stepId": step_id,
        "status": str(status),
        "progress": 1.0 if status == StepStatus.COMPLETED else 0.0,
    }


def components_for(
    components: Sequence[UiComponent],
    names: Mapping[str, Json],
    user: UiUser,
    *,
    execution_id: str,
    progress: float,
    current_step: JsonObject | None,
) -> UiAnswer:
    """The components to show.

    Args:
        components: The document's.
        names: What expressions of the run can name; ``status`` is the run's status.
        user: Who looks.
        execution_id: The run.
        progress: How much of it is done, from 0 to 1.
        current_step: The step at which the main path stands, or stood last: ``stepId``, ``status``
            and ``progress``.
    """
    scope: dict[str, Json] = {
        **names,
        "user": user.to_json(),
        "progress": progress,
        "currentStep": current_step,
    }
    shown: list[ShownComponent] = []
    warnings: list[UiWarning] = []
    budget = _Budget(MAX_MAPPING_COST)
    for component in components:
        name, condition = component.component_id, component.condition
        try:
            if condition is not None and not budget.test(condition, scope):
                continue
        except (EvaluationError, ExpressionSyntaxError) as error:
            reason = error.reason if isinstance(error, EvaluationError) else str(error)
            said = UiWarning(component_id=name, condition=condition or "", message=reason)
            warnings.append(said)
            continue
        shown.append(
            ShownComponent(
                component_id=name, priority=component.priority, context=dict(component.context)
            )
        )
    return UiAnswer(
        execution_id=execution_id,
        status=str(names["status"]),
        progress=progress,
        components=sorted(shown, key=lambda one: one.priority),
        warnings=warnings,
    )


class _Budget:
    """Evaluates conditions until they have cost so much together: a query has to be answered."""

    def __init__(self, cost: float) -> None:
        self._left = cost

    def test(self, condition: str, scope: Mapping[str, Json]) -> bool:
        expression = compile_expression(condition, UI_NAMES)
        self._left -= expression.cost(scope)
        if self._left < 0:
            raise EvaluationError(condition, "the conditions together cost too much")
        return expression.test(scope)
