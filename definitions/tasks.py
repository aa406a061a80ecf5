"""What is known of a task without running it: the entry of the task catalogue."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.alias_generators import to_camel

from definitions.document import Duration, RetryPolicy


class TaskSpec(BaseModel):
    """A task's entry in the catalogue. It is pinned in each run that uses it.

    ``mode``: ``remote`` is a Temporal activity; ``local`` a Temporal local activity, for what is
    quick and safe to repeat. ``activity`` and ``task_queue`` are given for a task that a worker of
    another language serves: its activity type and queue.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    task_id: str
    description: str | None = None
    mode: Literal["remote", "local"] = "remote"
    retry_policy: RetryPolicy | None = None
    timeout: Duration | None = None
    attempt_timeout: Duration | None = None
    heartbeat_timeout: Duration | None = None
    input_schema: dict[str, JsonValue] | None = None
    output_schema: dict[str, JsonValue] | None = None
    activity: str | None = None
    task_queue: str | None = None

    @property
    def self_recorded(self) -> bool:
        """Whether an activity of ours runs it, which writes its attempts and its end."""
        return self.activity is None and self.task_id not in NOT_ACTIVITIES


#: Steps that the interpreter does by itself: they cost no activity.
INLINE_TASKS = frozenset(
    {
        "core.noop",
        "core.set",
        "core.fail",
        "core.wait",
        "core.approval",
        "core.event",
        "core.publish",
    }
)
#: Runs another definition, as a workflow of its own.
CHILD_TASK = "core.workflow"
#: Built-in tasks that run as activities.
ACTIVITY_TASKS = frozenset({"core.http"})
NOT_ACTIVITIES = INLINE_TASKS | {CHILD_TASK}
BUILTIN_TASKS = NOT_ACTIVITIES | ACTIVITY_TASKS
