"""Tasks that make, pass on and measure big values."""

from __future__ import annotations

import json
from typing import Any

from definitions.outputs import json_size
from steploom import TaskError, task
from tests.workflows.tasks import gate

#: How often a task of each name has run.
RUNS: dict[str, int] = {}


def text_of(size: int, *, letter: str = "x") -> str:
    """A text whose JSON has so many bytes."""
    return letter * (size - 2)


@task("big.text")
async def text(given: dict[str, Any]) -> str:
    """A text whose JSON has ``size`` bytes."""
    RUNS[given.get("name", "")] = RUNS.get(given.get("name", ""), 0) + 1
    return text_of(given["size"], letter=given.get("letter", "x"))


@task("big.local", mode="local")
async def local(given: dict[str, Any]) -> str:
    return text_of(given["size"])


@task("big.object")
async def members(given: dict[str, int]) -> dict[str, Any]:
    """An object with a text of so many bytes under each name."""
    return {name: text_of(size, letter=name[0]) for name, size in given.items()}


@task("big.many")
async def many(given: dict[str, int]) -> dict[str, Any]:
    """An object of ``count`` members that have ``size`` bytes each."""
    return {f"m{number}": text_of(given["size"]) for number in range(given["count"])}


@task("big.lines")
async def lines(given: dict[str, int]) -> dict[str, Any]:
    """A document of 1,024 bytes a line."""
    return {"title": "all of it", "lines": ["y" * 1021] * given["kib"]}


@task("big.upper")
async def upper(given: dict[str, Any]) -> dict[str, Any]:
    """The document again, in capitals."""
    return {"title": given["title"], "lines": [line.upper() for line in given["lines"]]}


@task("big.upper-at-gate")
async def upper_at_gate(given: dict[str, Any]) -> dict[str, Any]:
    """The same, once its gate is open."""
    here = gate(given["gate"])
    here.entries += 1
    here.entered.set()
    await here.open.wait()
    return await upper(given)


@task("big.measure")
async def measure(given: Any) -> dict[str, Any]:
    """How big the input is, and how it begins."""
    return {"size": json_size(given), "begins": str(given)[:40]}


@task("big.forge")
async def forge(given: Any) -> Any:
    """Answers what it was told to, decoded from a text: what no document could say."""
    return json.loads(given["text"])


@task("big.fail")
async def fail(given: Any) -> None:
    """Fails with details from a text."""
    raise TaskError("as told", details=json.loads(given["text"]), retryable=False)


@task("big.repeat")
async def repeat(given: dict[str, Any]) -> list[str]:
    """A list of so many times the same text."""
    return [given["text"]] * given["times"]


@task("big.error")
async def error(given: dict[str, int]) -> None:
    """Fails with an error whose parts are so long."""
    raise TaskError(
        text_of(given.get("message", 2)),
        type="T" * given.get("type", 1),
        code="c" * given.get("code", 1),
        details={"text": text_of(given["details"])} if "details" in given else None,
        retryable=False,
    ) from RuntimeError(text_of(given.get("cause", 2)))
