"""Tasks that give away what they were given, in every way that a task can."""

from __future__ import annotations

import base64
from typing import Annotated, Any, cast
from urllib.parse import quote

import structlog
from pydantic import BaseModel, Field

from steploom import TaskContext, TaskError, task

_log = structlog.get_logger(__name__)
#: What each run's task really was given, by execution id.
GIVEN: dict[str, Any] = {}


@task("secret.tell")
async def tell(request: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Returns the secret as it is, inside of texts, as a name, and encoded."""
    GIVEN[context.execution_id] = request
    key = request["key"]
    context.heartbeat(key)
    _log.warning("told", key=key, sentence=f"the key is {key}")
    return {
        "plain": key,
        "inside": f"Bearer {key}!",
        key: 1,
        "list": [[key]],
        "url": f"https://example.com/?key={quote(key, safe='')}",
        "basic": base64.b64encode(key.encode()).decode(),
        "harmless": "stays",
    }


@task("secret.fail")
async def fail(request: dict[str, Any]) -> None:
    """Fails with the secret in everything that an error has."""
    key = request["key"]
    raise TaskError(
        f"refused: {key}", type="Refused", code=key, details={"key": [key]}, retryable=False
    ) from ValueError(f"no good: {key}")


@task("secret.crash")
async def crash(request: dict[str, Any]) -> None:
    """Fails with an exception that nobody meant."""
    raise RuntimeError(f"crashed with {request['key']}")


class Short(BaseModel):
    """A key that is short."""

    key: Annotated[str, Field(max_length=40)]


@task("secret.typed")
async def typed(request: Short) -> str:
    """Takes no long key; what says so quotes it, shortened."""
    return request.key


@task("secret.mistyped")
async def mistyped(request: dict[str, Any]) -> Short:
    """Gives another type than it promises."""
    given: Any = {"key": request["key"], "more": 1}
    return cast("Short", given)
