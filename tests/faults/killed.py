"""Worker processes that are killed in the middle of anything, and what they run meanwhile."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import uuid4

from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from definitions.names import SIGNAL_EVENT, UPDATE_DECIDE
from steploom.catalogue import TaskSources, load_registry
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import until
from worker.process import run_worker

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path
    from random import Random

    from tests.workflows.stack import Handle, Stack
    from worker.settings import Settings

_RETRY = retry(100)


def _work(step_id: str, kind: str, seconds: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A step that works for so long; what it is given can be made more of."""
    given = {"n": "${input.n}", "seconds": seconds, **fields.pop("given", {})}
    return step(step_id, f"faults.{kind}", input=given, retryPolicy=_RETRY, **fields)


#: What each kind of run leaves no event of its own of in a history, beside what it runs.
KINDS: tuple[tuple[dict[str, Any], set[str]], ...] = (
    (
        definition(
            _work("quick", "remote"),
            _work("near", "local"),
            _work("slow", "remote", 0.4),
            _work("flaky", "remote", 0.05, given={"failing": 2}),
            step("mark", "core.set", input={"seen": "${input.n}"}),
            _work("last", "local", 0.15),
            variables={"seen": -1},
            output={"n": "${variables.seen}"},
        ),
        {"near", "mark", "last"},
    ),
    (
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch("a", _work("a1", "remote", 0.2), _work("a2", "local")),
                    branch("b", _work("b1", "remote"), _work("b2", "remote", 0.3)),
                ],
            ),
            _work("each", "remote", 0.1, forEach={"items": [1, 2, 3, 4], "maxConcurrency": 2}),
            _work("last", "local"),
            output={"n": "${input.n}"},
        ),
        {"fork", "each", "last"},
    ),
    (
        definition(
            _work("before", "local", 0.05),
            step("approve", "core.approval", input={"title": "Really?"}),
            _work("between", "remote", 0.15),
            step("paid", "core.event", input={"name": "payment.settled"}),
            _work("after", "local"),
            output={"n": "${input.n}"},
        ),
        {"before", "approve", "paid", "after"},
    ),
)


class _Worker(NamedTuple):
    """A process, the file that is there once it serves, and what it writes."""

    process: ForkServerProcess
    ready: Path
    log: Path


class Workers:
    """Some workers of one task queue in processes of their own, each replaced once it is killed.

    They are forked from a process that has imported everything, so that one is there in a moment.
    """

    def __init__(self, folder: Path, settings: Settings, count: int) -> None:
        self._folder = folder
        self._settings = settings
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.killed"])
        self._running: list[_Worker] = []
        self._count = count
        self.killed = 0

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._running:
            one.process.kill()
            one.process.join()

    def _start(self) -> None:
        ready, log = (self._folder / f"{uuid4().hex[:8]}.{kind}" for kind in ("ready", "log"))
        process = self._context.Process(target=_serve, args=(self._settings, ready, log))
        process.start()
        self._running.append(_Worker(process, ready, log))

    async def kill_one(self, chance: Random) -> None:
        """Kills one that serves, once there is one, and starts another in its place."""

        async def serving() -> list[_Worker]:
            for one in self._running:
                assert one.process.is_alive(), one.log.read_text()
            return [one for one in self._running if one.ready.exists()]

        one = chance.choice(await until(serving))
        one.process.kill()
        await asyncio.to_thread(one.process.join)
        self._running.remove(one)
        self.killed += 1
        self._start()

    def log(self) -> str:
        """What all of them have written."""
        return "\n".join(file.read_text() for file in sorted(self._folder.glob("*.log")))


def _serve(settings: Settings, ready: Path, log: Path) -> None:
    """A worker process."""
    with log.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    registry = load_registry(TaskSources(settings.tasks))
    asyncio.run(run_worker(settings, registry, ready=lambda _: ready.touch()))


async def drive(stack: Stack, number: int) -> Handle:
    """Does one run to its end, with the decision and the event that it waits for."""
    document, inline = KINDS[number % len(KINDS)]
    handle = await stack.start(document["workflowId"], {"n": number})
    if "approve" in inline:
        await handle.signal(SIGNAL_EVENT, {"name": "payment.settled", "data": {"of": number}})
        await stack.waits(handle, "approve")
        await _decide(handle)
    assert await handle.result() == {"n": number}
    return handle


async def _decide(handle: Handle) -> None:
    """Gives one decision, whichever worker takes it, and however many are killed over it."""
    decision = {"stepId": "approve", "decision": "approved", "approver": "manager@example.com"}

    async def given() -> bool:
        try:
            # The same id again is the same decision.
            await handle.execute_update(UPDATE_DECIDE, decision, id=f"{handle.id}-decision")
        except (RPCError, WorkflowUpdateFailedError):
            # Also refused: the record can be ahead of a run whose worker was killed right after it
            # wrote that it waits. The run comes to its wait again.
            return False
        return True

    await until(given)
