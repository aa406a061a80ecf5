"""Events for tests, the definitions that they start, and a dispatcher on the test's stack."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from adapters.transforms.pool import Transforms
from definitions.deadletters import Message
from definitions.redaction import make_redactor
from steploom.operations.triggering import Dispatcher
from steploom.services import Services
from tests.workflows.documents import definition, step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.workflows.stack import Stack


def event_type() -> str:
    """A type that no other test has."""
    return f"test.{uuid4().hex[:12]}.paid"


def cloud_event(kind: str, data: Any = None, **attributes: Any) -> dict[str, Any]:
    """A CloudEvent."""
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/shop",
        "type": kind,
        "data": {} if data is None else data,
        **attributes,
    }


def as_message(value: Any, **headers: str) -> Message:
    """What would come of it."""
    return Message(json.dumps(value).encode(), headers)


def triggered_by(*triggers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A definition of one step that gives back its input."""
    return definition(
        step("echo", "test.echo", input="${input}"),
        triggers=list(triggers),
        output="${steps.echo.output}",
        **fields,
    )


def on(pattern: str, jmespath: str | None = None, **fields: Any) -> dict[str, Any]:
    """A trigger."""
    trigger: dict[str, Any] = {"eventPattern": pattern, **fields}
    if jmespath is not None:
        trigger["transform"] = {"type": "jmespath", "expression": jmespath}
    return trigger


def services_of(stack: Stack) -> Services:
    """Services on the stack's own connections."""
    settings = stack.settings(task_queue=stack.task_queue)
    return Services(settings, stack.client, stack.database)


@asynccontextmanager
async def dispatching(stack: Stack) -> AsyncIterator[Dispatcher]:
    """A dispatcher on the stack."""
    async with Transforms(1) as transforms:
        yield Dispatcher(services_of(stack), transforms, make_redactor(()))


def identity(value: dict[str, Any]) -> UUID:
    """The id of an event that has a UUID."""
    return UUID(value["id"])
